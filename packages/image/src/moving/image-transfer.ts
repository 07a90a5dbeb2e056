// What can be copied from and to: a registry, a directory, an archive, the store. Documents and blobs go over byte for byte.
import type { Digest } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'

/** A manifest or index as its bytes came. */
export interface RawDocument {
  readonly bytes: Buffer
  readonly mediaType: string
  readonly digest: Digest
}

/** Blobs are not checked here: whoever copies does that. Documents are, where a digest asks for one. */
export interface ImageSource extends AsyncDisposable {
  /** For messages: `docker://host/name:tag`. */
  readonly name: string
  /** What the location names: an index or a manifest. Throws `not_found`. */
  top(signal: AbortSignal): Promise<RawDocument>
  /** A manifest that an index names. */
  document(descriptor: Descriptor, signal: AbortSignal): Promise<RawDocument>
  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer>
  /** Where a registry could take the blobs from by itself. */
  readonly repository?: { readonly registry: string; readonly repository: string }
}

export interface ImageDestination extends AsyncDisposable {
  readonly name: string
  /** What an image to come has, told before anything else is asked of it. */
  expect?(blobs: readonly Descriptor[], signal: AbortSignal): Promise<void>
  /** Whether it need not be sent; a registry may take it from `from` by itself. */
  has(descriptor: Descriptor, from: ImageSource['repository'], signal: AbortSignal): Promise<boolean>
  /** `content` throws when it is not what the descriptor says; then nothing may be kept under that digest. */
  writeBlob(descriptor: Descriptor, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void>
  /** All that it refers to is there. `isTop`: it is what the location names. */
  writeDocument(document: RawDocument, isTop: boolean, signal: AbortSignal): Promise<void>
  /** Nothing of an archive is at its place before. */
  commit(signal: AbortSignal): Promise<void>
}
