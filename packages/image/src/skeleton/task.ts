import type { DiffId } from '@coracle/oci-spec/digest'

/** What the daemon asks the program that makes an archive again. */
export interface SkeletonTask {
  /** Of the unpacked layer. */
  readonly directory: string
  /** The file with its skeleton. */
  readonly skeleton: string
  readonly diffId: DiffId
}
