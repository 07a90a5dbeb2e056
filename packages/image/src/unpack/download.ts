// The bytes of a layer's blob: those of an interrupted download from the disk, the others from the registry.
import { downloadParallel, type ParallelOptions } from '../registry/blob-parallel.ts'
import type { RegistryClient } from '../registry/client.ts'
import type { Interrupted } from './interrupted.ts'
import type { LayerJob } from './messages.ts'

export interface DownloadRequest {
  readonly job: LayerJob
  readonly client: RegistryClient
  readonly interrupted: Interrupted | undefined
  readonly signal: AbortSignal
}

export async function* downloadLayer({ job, client, interrupted, signal }: DownloadRequest): AsyncGenerator<Buffer> {
  const { blob, source } = job
  const options: ParallelOptions = {
    stallMs: source.stallTimeoutMs,
    retryBaseMs: source.retryBaseMs,
    connections: job.download?.connections ?? 1,
    ...(job.download?.judgedAfterMs === undefined ? {} : { judgedAfterMs: job.download.judgedAfterMs }),
    signal,
  }
  let offset = 0
  if (interrupted?.isFound) {
    if (interrupted.start > 0) yield* downloadParallel(client, blob, { ...options, to: interrupted.start })
    yield* interrupted.read()
    offset = interrupted.end
  }
  if (offset === blob.size) return
  for await (const chunk of downloadParallel(client, blob, { ...options, from: offset })) {
    interrupted?.note(chunk, offset)
    offset += chunk.length
    yield chunk
  }
}
