// Command line options: a table describes them, one small parser reads them, and their types follow from the table.
import { parseDurationMs, parseSizeBytes } from './quantities.ts'
import { UsageError } from './usage-error.ts'

export type OptionSpec = {
  /**
   * flag: present or not. string, number: the last one given counts. list: may be repeated.
   * duration: `30s`, `1m30s` or plain seconds, as milliseconds. size: `64m` or plain bytes, as bytes.
   */
  readonly kind: 'flag' | 'string' | 'list' | 'number' | 'duration' | 'size'
  readonly short?: string
  readonly help: string
  /** What stands for the value in the help. */
  readonly value?: string
  readonly choices?: readonly string[]
}

export type OptionTable = { readonly [name: string]: OptionSpec }

type ValueOf<S extends OptionSpec> = S['kind'] extends 'flag'
  ? boolean
  : S['kind'] extends 'list'
    ? readonly string[]
    : S['kind'] extends 'string'
      ? string | undefined
      : number | undefined

export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> }

export type ParsedArguments<T extends OptionTable> = { readonly options: OptionValues<T>; readonly operands: string[] }

type Occurrence = { readonly name: string; readonly shown: string; readonly text: string | undefined }

/**
 * Reads `args` by the table: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc` for three flags, `--` ends options.
 * With `stopAtOperand` everything from the first operand on is an operand (the command of a container has its own options).
 * @throws UsageError naming the option.
 */
export function parseArguments<T extends OptionTable>(
  table: T,
  args: readonly string[],
  settings: { readonly stopAtOperand?: boolean | undefined } = {},
): ParsedArguments<T> {
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(table))
    values[name] = spec.kind === 'flag' ? false : spec.kind === 'list' ? [] : undefined
  const operands: string[] = []
  const rest = [...args]
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest)
      break
    }
    if (arg === '-' || !arg.startsWith('-')) {
      operands.push(arg)
      if (!settings.stopAtOperand) continue
      operands.push(...rest)
      break
    }
    const occurrences = arg.startsWith('--') ? [longOption(table, arg)] : shortOptions(table, arg)
    for (const occurrence of occurrences) assign(values, occurrence, table, rest)
  }
  // Every name of the table was given a value of its kind above.
  return { options: values as OptionValues<T>, operands }
}

function longOption(table: OptionTable, arg: string): Occurrence {
  const equals = arg.indexOf('=')
  const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals)
  if (!Object.hasOwn(table, name)) throw new UsageError(`unknown option --${name}${suggestion(table, name)}`)
  return { name, shown: `--${name}`, text: equals < 0 ? undefined : arg.slice(equals + 1) }
}

function shortOptions(table: OptionTable, arg: string): Occurrence[] {
  const found: Occurrence[] = []
  for (let i = 1; i < arg.length; i++) {
    const letter = arg.charAt(i)
    const entry = Object.entries(table).find(([, spec]) => spec.short === letter)
    if (!entry) throw new UsageError(`unknown option -${letter}${arg.length > 2 ? ` in ${arg}` : ''}`)
    const [name, spec] = entry
    const shown = `-${letter}`
    const attached = arg.slice(i + 1)
    if (attached.startsWith('=')) return [...found, { name, shown, text: attached.slice(1) }]
    if (spec.kind !== 'flag' && attached !== '') return [...found, { name, shown, text: attached }]
    found.push({ name, shown, text: undefined })
  }
  return found
}

function assign(values: Record<string, unknown>, occurrence: Occurrence, table: OptionTable, rest: string[]): void {
  const { name, shown } = occurrence
  const spec = table[name]
  if (!spec) return
  if (spec.kind === 'flag') {
    if (occurrence.text !== undefined && occurrence.text !== 'true' && occurrence.text !== 'false')
      throw new UsageError(`option ${shown} is a flag: it takes no value, not "${occurrence.text}"`)
    values[name] = occurrence.text !== 'false'
    return
  }
  const given = occurrence.text ?? rest.shift()
  if (given === undefined) throw new UsageError(`option ${shown} needs a value${spec.value ? `: ${spec.value}` : ''}`)
  // Tables show `Running` where --state takes `running`.
  const text = spec.choices ? spec.choices.find((choice) => choice.toLowerCase() === given.toLowerCase()) : given
  if (text === undefined) throw new UsageError(`option ${shown} is "${given}"; expected one of ${spec.choices?.join(', ')}`)
  const before = values[name]
  values[name] = spec.kind === 'list' ? [...(Array.isArray(before) ? before : []), text] : convert(spec, shown, text)
}

function convert(spec: OptionSpec, shown: string, text: string): string | number {
  if (spec.kind === 'string') return text
  const number = spec.kind === 'duration' ? parseDurationMs(text) : spec.kind === 'size' ? parseSizeBytes(text) : Number(text)
  if (number !== undefined && text.trim() !== '' && Number.isFinite(number)) return number
  const expected = { duration: 'a duration such as 30s or 1m30s', size: 'a size such as 64m or 1g', number: 'a number' }
  throw new UsageError(`option ${shown} is "${text}"; expected ${expected[spec.kind as 'duration' | 'size' | 'number']}`)
}

function suggestion(table: OptionTable, name: string): string {
  const near = Object.keys(table).find((known) => known.startsWith(name) || name.startsWith(known))
  return near ? `; did you mean --${near}?` : ''
}
