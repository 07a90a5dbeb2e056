// What the daemon and its unpack worker say to each other: one JSON value a line, commands on stdin, replies on stdout.
import { CodedError, codeOf, type ErrorCode, explain } from '@coracle/base/errors'
import type { DiffId } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import type { RegistrySource } from '../registry/client.ts'
import { RegistryError, type RegistryFailure } from '../registry/errors.ts'
import type { ExtractLimits } from './extract.ts'
import { isLinkBelow, LinkBelowError } from './link-below-error.ts'

export interface LayerJob {
  /** Name of the layer's own empty directory below the staging directory. */
  readonly directory: string
  readonly source: RegistrySource
  /** Name of a file below the staging directory that holds the blob: nothing is downloaded. */
  readonly spooled?: string
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly limits: ExtractLimits
  /** The layers below, lowest first, when its hard links lead there. */
  readonly below?: readonly LayerPlace[]
  /** How it is downloaded; absent: over one connection. */
  readonly download?: DownloadSettings
  /** The compressed blob is kept beside the layer. */
  readonly keepBlob?: boolean
  /** How gzip is read: by the fastest way there is, by Node's zlib on this thread, or by its public stream. */
  readonly gunzip: 'fastest' | 'zlib' | 'stream'
}

/** A layer that is in a store. */
export interface LayerPlace {
  /** Which of the directories of layers that the worker was started with. */
  readonly place: number
  readonly name: string
}

export interface DownloadSettings {
  /** At once for this blob, when one is slow. */
  readonly connections: number
  /** When that is judged. Default 1000. */
  readonly judgedAfterMs?: number
  /** A download that lasts longer is kept when it is interrupted. Default 3000. */
  readonly keptAfterMs?: number
}

export interface UnpackedLayer {
  readonly usedBytes: number
  readonly inodes: number
  readonly impliedDirectories: readonly string[]
  readonly warnings: readonly string[]
  /** Digest of its tree record. */
  readonly treeDigest: string
  /** Whether its archive can be made again (skeleton/recorder.ts). Absent: no. */
  readonly hasSkeleton?: boolean
  /** Absent: no. */
  readonly hasBlob?: boolean
}

/** The file beside a layer's staging directory that gets its tree record. */
export const recordName = (directory: string): string => `${directory}.tree`

/** Files beside it for what lets the layer leave the store again. */
export const skeletonName = (directory: string): string => `${directory}.skeleton`
export const blobName = (directory: string): string => `${directory}.blob`

export type Command =
  | {
      readonly type: 'start'
      readonly stagingDirectory: string
      /** Where interrupted downloads are kept. Absent: they are not. */
      readonly downloadsDirectory?: string
      /** Directories of layers that hard links may lead into. Absent: they may not. */
      readonly layerDirectories?: readonly string[]
      /** Whether it has a second thread, for small files. */
      readonly hasFileThread: boolean
    }
  | { readonly type: 'unpack'; readonly id: number; readonly job: LayerJob }
  | { readonly type: 'cancel'; readonly id: number }

export type Reply =
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly id: number; readonly downloadedBytes: number }
  /** Many small files wait to be written to the disk. */
  | { readonly type: 'files'; readonly id: number }
  | { readonly type: 'done'; readonly id: number; readonly layer: UnpackedLayer }
  | { readonly type: 'failed'; readonly id: number; readonly error: PlainError }

export interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly failure?: RegistryFailure
  readonly isLinkBelow?: boolean
}

export function toPlain(err: unknown): PlainError {
  const registry = registryErrorIn(err)
  const failure = registry === undefined ? {} : { failure: registry.failure }
  return { code: codeOf(err), message: explain(err), ...failure, ...(isLinkBelow(err) ? { isLinkBelow: true } : {}) }
}

export function fromPlain(error: PlainError): CodedError {
  if (error.failure !== undefined) return new RegistryError(error.failure, error.message)
  return error.isLinkBelow ? new LinkBelowError(error.code, error.message) : new CodedError(error.code, error.message)
}

export function registryErrorIn(err: unknown): RegistryError | undefined {
  for (let at = err; at instanceof Error; at = at.cause) if (at instanceof RegistryError) return at
  return undefined
}

/** Calls `handle` with each line's value. Lines are ours: what is no JSON throws. */
export function lineReader<T>(handle: (value: T) => void): (chunk: Buffer) => void {
  let pending: Buffer[] = []
  return (chunk) => {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...pending, chunk.subarray(start, end)])
      pending = []
      start = end + 1
      // The other side is this program too.
      handle(JSON.parse(line.toString('utf8')) as T)
    }
    if (start < chunk.length) pending.push(chunk.subarray(start))
  }
}
