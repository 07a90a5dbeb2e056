// Work in steps that a signal ends between or in the middle of them: what follows is the work's own `finally`.
import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodeOf, handleSignals, undoNow } from './signals.ts'

export interface Interruptible {
  /** As the promise; rejects at once when a signal comes, or has come. */
  step<T>(work: Promise<T>): Promise<T>
  /** When the last step has ended, or has been given 15 s to. */
  settled(): Promise<unknown>
}

/** A second signal does not wait for any `finally`. Sets the exit code: 128 + the signal's number. */
export function interruptible(): Interruptible {
  const interrupted = Promise.withResolvers<never>()
  // Nobody may be waiting when it comes.
  interrupted.promise.catch(() => {})
  let count = 0
  let last: Promise<unknown> = Promise.resolve()
  handleSignals((signal) => {
    process.exitCode = exitCodeOf(signal)
    if (count++ === 0) return interrupted.reject(new Error(`interrupted by ${signal}`))
    undoNow(process.pid)
    process.exit()
  })
  return {
    step(work) {
      last = work.catch(() => {})
      return Promise.race([work, interrupted.promise])
    },
    settled: () => Promise.race([last, sleep(15_000, undefined, { ref: false })]),
  }
}
