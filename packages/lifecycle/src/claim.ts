// A caller whose deadline passed repeats its request. The result of the first is kept for it a while, then undone.
import { CodedError } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'

const log = logger('lifecycle')

export interface Claimable {
  readonly id: string
  readonly claimed: boolean
  readonly fingerprint: string
  readonly state: { readonly kind: string }
}

/**
 * What to do about a record that already has the key of a new request.
 * Returns it when the new request is a retry whose result nobody has learned yet; throws `already_exists` else.
 */
export function reuse<R extends Claimable>(existing: R | undefined, fingerprint: string, title: string): R | undefined {
  if (existing === undefined) return undefined
  if (existing.state.kind === 'creating')
    throw new CodedError('already_exists', `${title} is being made by another request (${existing.id})`)
  if (!existing.claimed && existing.fingerprint === fingerprint) return existing
  throw new CodedError('already_exists', `${title} already exists as ${existing.id}`)
}

/** Undoes a finished thing whose caller never came back. */
export function undoUnlessClaimed(options: {
  readonly afterMs: number
  readonly shutdown: AbortSignal
  readonly isUnclaimed: () => boolean
  /** From the moment it is called no retry may be answered with the thing. */
  readonly undo: () => Promise<void>
  readonly title: string
}): void {
  const timer = setTimeout(() => {
    options.shutdown.removeEventListener('abort', stop)
    if (!options.isUnclaimed()) return
    log.warn('undoing what its caller never asked for again', { title: options.title })
    // It may throw before it returns a promise.
    Promise.try(options.undo).catch((err: unknown) => log.error('undo failed', { title: options.title, error: err }))
  }, options.afterMs)
  timer.unref()
  const stop = () => clearTimeout(timer)
  options.shutdown.addEventListener('abort', stop, { once: true })
}
