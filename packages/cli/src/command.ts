// What a command is: its words, its options, and one function that does it.
import type { Context } from './context.ts'
import { type OptionTable, type OptionValues, parseArguments } from './options.ts'
import { UsageError } from './usage-error.ts'

type Definition<T extends OptionTable> = {
  readonly name: string
  readonly summary: string
  /** The line after `Usage: coracle`, e.g. `ps [options]`. */
  readonly usage: string
  /** A few sentences when the summary does not say it all. */
  readonly description?: string
  readonly options: T
  /** How many operands it takes; `max` absent: any number. */
  readonly operands: { readonly min: number; readonly max?: number }
  readonly stopAtOperand?: boolean
  readonly examples: readonly string[]
  /** The exit code, 0 when nothing is returned. */
  run(context: Context, options: OptionValues<T>, operands: string[]): Promise<number | undefined>
}

export type Command = Omit<Definition<OptionTable>, 'run'> & {
  invoke(context: Context, args: readonly string[]): Promise<number>
}

/** Binds the option types to `run` and hides them from the table of commands. */
export function defineCommand<const T extends OptionTable>(definition: Definition<T>): Command {
  const { run, ...described } = definition
  return {
    ...described,
    async invoke(context, args) {
      const { options, operands } = parseArguments(definition.options, args, { stopAtOperand: definition.stopAtOperand })
      const { min, max } = definition.operands
      if (operands.length < min || (max !== undefined && operands.length > max))
        throw new UsageError(`${definition.name} takes ${counted(min, max)}, not ${operands.length}: coracle ${definition.usage}`)
      return (await run(context, options, operands)) ?? 0
    },
  }
}

function counted(min: number, max: number | undefined): string {
  if (max === undefined) return `at least ${min === 1 ? 'one argument' : `${min} arguments`}`
  if (max === 0) return 'no arguments'
  if (min === max) return min === 1 ? 'one argument' : `${min} arguments`
  return `${min} to ${max} arguments`
}
