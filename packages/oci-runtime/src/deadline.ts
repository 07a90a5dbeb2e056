import { timeoutError } from '@coracle/base/signals'

/**
 * Runs `work` with a signal that aborts with the caller's, or after `ms` with `deadline_exceeded`. `work` has to obey it: it is waited
 * for, since only it can clean up. Unlike with AbortSignal.timeout no timer stays behind, so it may be used for what is frequent.
 */
export async function bounded<T>(
  limit: { readonly signal: AbortSignal; readonly ms: number; readonly what: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(timeoutError(limit.what, limit.ms)), limit.ms)
  const signal = AbortSignal.any([limit.signal, deadline.signal])
  try {
    return await work(signal)
  } finally {
    clearTimeout(timer)
  }
}
