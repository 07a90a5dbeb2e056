// Waiting for what must become true soon, with the last wrong answer in the message when it does not.
import { setTimeout as sleep } from 'node:timers/promises'

export interface Patience {
  readonly timeoutMs?: number
  readonly intervalMs?: number
}

/** Calls `attempt` until it returns something other than undefined or false without throwing; rejects with its last error at the timeout. */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T> | T,
  { timeoutMs = 10_000, intervalMs = 50 }: Patience = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  do {
    try {
      const result = await attempt()
      // Exclude cannot be narrowed from a generic: the two excluded values are what is compared with here.
      if (result !== undefined && result !== false) return result as Exclude<T, undefined | false>
      last = undefined
    } catch (err) {
      last = err
    }
    await sleep(intervalMs)
  } while (performance.now() < deadline)
  throw new Error(`not within ${timeoutMs} ms: ${what}`, last === undefined ? {} : { cause: last })
}
