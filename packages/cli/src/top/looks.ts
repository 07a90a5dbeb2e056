// Two looks at the same numbers, once or again and again.
import { delay } from '@coracle/base/signals'
import type { Context } from '../context.ts'

export interface Pace {
  readonly seconds: number
  /** Again and again, until interrupted. */
  readonly watch: boolean
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
