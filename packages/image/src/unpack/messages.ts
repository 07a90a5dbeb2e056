// What the daemon and its unpack worker say to each other: one JSON value a line, commands on stdin, replies on stdout.
import { CodedError, codeOf, type ErrorCode, explain } from '@coracle/base/errors'
import type { DiffId } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { DiskError, type DiskTrouble, diskTroubleOf } from '../disk-error.ts'
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
  /** Digest of what its archive can be made again from (skeleton/recorder.ts). Absent: it cannot. */
  readonly skeletonDigest?: string | undefined
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
  readonly trouble?: DiskTrouble
}

/** `directory`: on the disk that was written to. */
export function toPlain(err: unknown, directory: string): PlainError {
  const failure = registryErrorIn(err)?.failure
  const trouble = failure === undefined ? diskTroubleOf(err, directory) : undefined
  return {
    code: codeOf(err),
    message: explain(err),
    ...(failure === undefined ? {} : { failure }),
    ...(trouble === undefined ? {} : { trouble }),
    ...(isLinkBelow(err) ? { isLinkBelow: true } : {}),
  }
}

export function fromPlain({ code, message, failure, trouble, isLinkBelow }: PlainError): CodedError {
  if (failure !== undefined) return new RegistryError(failure, message)
  if (trouble !== undefined) return new DiskError(trouble, message)
  return isLinkBelow ? new LinkBelowError(code, message) : new CodedError(code, message)
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
