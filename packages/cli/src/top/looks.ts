// Looks at numbers that change, once or again and again.
import { delay } from '@coracle/base/signals'
import type { JsonValue } from '@coracle/cri-api/json'
import type { Context } from '../context.ts'
import { printStructured } from '../print/structured.ts'
import { UsageError } from '../usage-error.ts'

export interface Pace {
  readonly seconds: number
  /** Again and again, until interrupted. */
  readonly watch: boolean
}

const longestSeconds = 86_400

/** @throws UsageError for what no timer can wait. */
export function paceOf({ seconds = 1, watch }: { readonly seconds: number | undefined; readonly watch: boolean }): Pace {
  if (seconds >= 0 && seconds <= longestSeconds) return { seconds, watch }
  throw new UsageError(`--seconds is ${seconds}; expected 0 to ${longestSeconds}`)
}

/** Calls `print` with what was `before` and what is so after `seconds`. On a terminal each table takes the place of the one before. */
export async function compareLooks<T>(
  context: Context,
  { seconds, watch }: Pace,
  { look, print }: { readonly look: () => Promise<T>; readonly print: (before: T, after: T) => void },
): Promise<void> {
  let before = await look()
  do {
    await delay(seconds * 1000, context.interruption())
    const after = await look()
    if (watch && context.out.isTerminal) context.out.write('\u001b[H\u001b[2J')
    print(before, after)
    before = after
  } while (watch)
}

/** Prints what `look` finds as JSON or YAML; of several YAML documents each has its mark. */
export async function printLooks(
  context: Context,
  { seconds, watch }: Pace,
  { look, output }: { readonly look: () => Promise<JsonValue>; readonly output: string },
): Promise<void> {
  for (;;) {
    const found = await look()
    if (watch && output === 'yaml') context.out.line('---')
    await printStructured(context.out, output, found)
    if (!watch) return
    await delay(seconds * 1000, context.interruption())
  }
}
