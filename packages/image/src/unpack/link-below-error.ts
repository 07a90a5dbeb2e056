import { CodedError } from '@coracle/base/errors'
import { archiveError } from '../tar/errors.ts'

/** A hard link leads to something that this layer does not have. The layers below may: see links-below.ts. */
export class LinkBelowError extends CodedError {
  override readonly name = 'LinkBelowError'

  static of(target: string): LinkBelowError {
    return new LinkBelowError('invalid_argument', archiveError(`its hard link's target ${target} is not in the layer`).message)
  }
}

export function isLinkBelow(err: unknown): boolean {
  for (let at = err; at instanceof Error; at = at.cause) if (at instanceof LinkBelowError) return true
  return false
}
