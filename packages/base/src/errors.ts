// One error class with gRPC's codes in words, context by `cause`, translated to gRPC in one place (cri-server).

import { isErrno } from './errno.ts'

export type ErrorCode =
  | 'canceled'
  | 'unknown'
  | 'invalid_argument'
  | 'deadline_exceeded'
  | 'not_found'
  | 'already_exists'
  | 'permission_denied'
  | 'resource_exhausted'
  | 'failed_precondition'
  | 'aborted'
  | 'out_of_range'
  | 'unimplemented'
  | 'internal'
  | 'unavailable'
  | 'data_loss'
  | 'unauthenticated'

export class CodedError extends Error {
  override readonly name: string = 'CodedError'
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The code of any thrown thing: its own, else that of its nearest coded cause, else that of a full disk, else `internal`. */
export function codeOf(err: unknown): ErrorCode {
  // `.error` of a SuppressedError is the cleanup's failure, `.suppressed` the original one.
  if (err instanceof SuppressedError) return codeOf(err.suppressed)
  if (err instanceof CodedError) return err.code
  if (isErrno(err, 'ENOSPC', 'EDQUOT')) return 'resource_exhausted'
  if (err instanceof Error && err.name === 'TimeoutError') return 'deadline_exceeded'
  if (err instanceof Error && err.name === 'AbortError') return err.cause === undefined ? 'canceled' : codeOf(err.cause)
  if (err instanceof Error && err.cause !== undefined) return codeOf(err.cause)
  return 'internal'
}

/** The whole chain in one line, outermost action first, joined by colons: callers such as kubelet show only this. */
export function explain(err: unknown): string {
  if (err instanceof SuppressedError) return `${explain(err.suppressed)} (and cleanup failed: ${explain(err.error)})`
  if (err instanceof AggregateError && err.errors.length > 0)
    return [err.message, err.errors.map(explain).join('; ')].filter(Boolean).join(': ')
  if (!(err instanceof Error)) return String(err)
  return err.cause === undefined ? err.message : `${err.message}: ${explain(err.cause)}`
}

/** Adds what was being done, keeping the code of the cause. */
export function failed(action: string, cause: unknown): CodedError {
  return new CodedError(codeOf(cause), action, { cause })
}

export const invalid = (message: string): CodedError => new CodedError('invalid_argument', message)
export const notFound = (message: string): CodedError => new CodedError('not_found', message)
export const precondition = (message: string): CodedError => new CodedError('failed_precondition', message)

/** Runs `work`; a failure is rethrown with `action` in front. */
export async function doing<T>(action: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (err) {
    throw failed(action, err)
  }
}
