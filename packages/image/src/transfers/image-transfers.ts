// Images into the store and out of it by other ways than a pull. What comes in is checked as a pull is.
import type { DiffId, Digest, ImageId } from '@coracle/oci-spec/digest'
import type { Reference } from '@coracle/oci-spec/reference'
import type { PullStatus } from '../images.ts'
import type { ImportDescription } from './import-status.ts'

export interface StoredParts {
  readonly id: ImageId
  readonly manifestDigest: Digest
  readonly manifest: Buffer
  readonly config: Buffer
  /** In the manifest's order. */
  readonly layers: readonly {
    readonly diffId: DiffId
    /** Whether the manifest's blob is kept. */
    readonly hasBlob: boolean
    /** Whether its archive can be made again. */
    readonly hasArchive: boolean
  }[]
  readonly tags: readonly string[]
  readonly digests: readonly string[]
}

export interface NewParts {
  readonly manifest: Buffer
  readonly mediaType: string
  readonly config: Buffer
  readonly names: readonly Reference[]
  /** How a signature policy calls the place where it comes from. */
  readonly transport: string
}

/** Blobs on their way into the store. Disposed of when its client leaves: what is not finished is gone. */
export interface ImportSession extends AsyncDisposable {
  readonly id: string
  /** What it is about to bring; from then on it is listed as under way. */
  describe(description: ImportDescription): void
  /** Undefined before it is described. */
  status(): PullStatus | undefined
  /** Whether a layer with this blob is in the store; it stays there as long as the session lives. */
  has(digest: Digest): boolean
  /** Appends. Throws `out_of_range` for another offset than the end, `resource_exhausted` when the disk is nearly full. */
  write(digest: Digest, offset: number, data: Uint8Array): Promise<void>
  /** Throws `invalid_argument` for what is no image, `failed_precondition` for a missing blob, `data_loss` for a wrong one. */
  finish(parts: NewParts, signal: AbortSignal): Promise<ImageId>
}

export interface ImageTransfers {
  /** Throws `not_found`. */
  read(name: string): StoredParts
  /** The archive of a layer, or its blob. Throws `not_found`, `failed_precondition` when it is not there in that form. */
  readLayer(diffId: DiffId, form: 'archive' | 'blob', signal: AbortSignal): AsyncIterable<Buffer>
  begin(): ImportSession
  /** Throws `not_found` when no session has this id. */
  session(id: string): ImportSession
  isOpen(id: string): boolean
  /** Imports that were described, the oldest first. */
  underWay(): readonly PullStatus[]
  /** Throws `not_found`, `invalid_argument` for a reference with a digest. */
  tag(image: string, reference: Reference): Promise<void>
  /** Takes a name, or all names of an id, away; resolves to those. The image stays. Throws `not_found`. */
  untag(name: string): Promise<readonly string[]>
}
