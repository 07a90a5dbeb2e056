import { CodedError, codeOf, explain } from '@coracle/base/errors'
import type { Image } from '@coracle/image'
import type { Reference } from '@coracle/oci-spec/reference'

/** A name without a registry may be searched for in several: the first that has it is it. Throws what all of them said. */
export async function firstThatWorks(
  candidates: readonly Reference[],
  pull: (reference: Reference) => Promise<Image>,
  signal: AbortSignal,
): Promise<Image> {
  const failures: unknown[] = []
  for (const candidate of candidates) {
    try {
      return await pull(candidate)
    } catch (err) {
      signal.throwIfAborted()
      failures.push(err)
    }
  }
  if (failures.length === 1) throw failures[0]
  const reason = failures.find(isReasonOfKubelet)
  const told = reason === undefined ? failures : [reason, ...failures.filter((failure) => failure !== reason)]
  throw new CodedError(codeOf(reason ?? failures.at(-1)), told.map(explain).join('; '))
}

// kubelet reads its reasons at the start of a message only, and only of one code: another registry that has not got the image,
// or is asked in vain, must not hide them.
const isReasonOfKubelet = (err: unknown): boolean => /^(SignatureValidationFailed|RegistryUnavailable):/.test(explain(err))
