// Helpers for AbortSignal: every wait of this program has a deadline and an owner.
import { CodedError } from './errors.ts'

/** The error with which a deadline ends; `codeOf` says `deadline_exceeded`. */
export function timeoutError(what: string, ms: number): CodedError {
  return new CodedError('deadline_exceeded', `${what} did not finish within ${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}`)
}

/** A signal for cleanup: never the caller's, its own bound. */
export function cleanupSignal(ms = 60_000): AbortSignal {
  return AbortSignal.timeout(ms)
}

/** `signal` narrowed to at most `ms` milliseconds. The timer is unreferenced. */
export function within(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)])
}

/** Settles as `work`, or rejects with the signal's reason as soon as it aborts (the work itself goes on). */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // The work may fail when nobody waits for it any more: that must not end the process.
  work.catch(() => {})
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason if that aborts first. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  if (signal?.aborted) return Promise.reject(signal.reason)
  const onAbort = () => {
    clearTimeout(timer)
    reject(signal?.reason)
  }
  const timer = setTimeout(() => {
    signal?.removeEventListener('abort', onAbort)
    resolve()
  }, ms)
  signal?.addEventListener('abort', onAbort, { once: true })
  return promise
}
