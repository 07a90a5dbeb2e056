// A large blob as it comes: resumed by Range where the connection breaks, given up when nothing comes for too long. Not yet checked.
import { monotonicMs } from '@coracle/base/clock'
import { delay } from '@coracle/base/signals'
import type { Descriptor } from '@coracle/oci-spec/image'
import { bulkBody } from './bulk-connection.ts'
import type { Answer, RegistryClient } from './client.ts'
import type { Endpoint } from './endpoints.ts'
import { connectionFailed, RegistryError } from './errors.ts'
import type { HttpResponse } from './http.ts'

export interface DownloadOptions {
  readonly stallMs: number
  readonly retryBaseMs: number
  readonly signal: AbortSignal
  /** Bytes from here to before there only. Default: all. */
  readonly from?: number
  readonly to?: number
  /** Throws RangeRefused instead of reading what was not asked for. */
  readonly rangeOnly?: boolean
}

/** The server sends everything, whatever range is asked for. */
export class RangeRefused extends RegistryError {
  constructor(host: string) {
    super('protocol', `${host} has no ranges`)
  }
}

// Fewer bytes than this in a stall period are no progress: one byte every ten seconds would take for ever.
const progressBytes = 4096
const resumeBytes = 1024 * 1024
const maxTries = 5

/**
 * Yields exactly the bytes asked for, or throws. The consumer's own slowness never counts as the registry's. From a client for bulk each
 * piece is valid until the next one is asked for.
 */
export async function* downloadBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  options: DownloadOptions,
): AsyncGenerator<Buffer> {
  const end = options.to ?? descriptor.size
  let offset = options.from ?? 0
  let tries = 0
  let triedAt = offset
  while (offset < end) {
    let from: Endpoint | undefined
    try {
      const { response, endpoint, knownBytes } = await openAt(client, descriptor, offset, options)
      const { host } = endpoint
      from = endpoint
      let skip = knownBytes
      for await (const received of watched(response, host, options)) {
        const chunk = received.subarray(Math.min(skip, received.length))
        skip -= received.length - chunk.length
        if (chunk.length === 0) continue
        offset += chunk.length
        if (offset > descriptor.size)
          throw new RegistryError('corrupt', `${host} sends more than the ${descriptor.size} bytes of blob ${descriptor.digest}`)
        yield offset > end ? chunk.subarray(0, chunk.length - (offset - end)) : chunk
        // Of a whole blob the end is waited for: more than it should be is told.
        if (offset >= end && end < descriptor.size) return
      }
      if (offset < end) throw new RegistryError('unavailable', `${host} ended a blob after ${offset} of ${descriptor.size} bytes`)
    } catch (err) {
      options.signal.throwIfAborted()
      if (!(err instanceof RegistryError) || err instanceof RangeRefused) throw err
      // Not one byte of it is believed before the digest of all is right: the next endpoint can go on where this one left off.
      const isElsewhere = from !== undefined && client.distrust(from)
      if (err.failure !== 'unavailable' && !(isElsewhere && err.failure === 'stalled')) throw err
      if (offset - triedAt >= resumeBytes) tries = 0
      if (++tries >= maxTries) throw err
      triedAt = offset
      await delay(Math.min(options.retryBaseMs * 2 ** (tries - 1), options.stallMs), options.signal)
    }
  }
}

interface Opened extends Answer {
  /** Bytes that come again. */
  readonly knownBytes: number
}

async function openAt(
  client: RegistryClient,
  descriptor: Descriptor,
  offset: number,
  { signal, to = descriptor.size, rangeOnly = false }: DownloadOptions,
): Promise<Opened> {
  const request = {
    path: `blobs/${descriptor.digest}`,
    headers: offset === 0 && to === descriptor.size ? {} : { range: `bytes=${offset}-${to === descriptor.size ? '' : to - 1}` },
    signal,
  }
  const opened = await client.read(request, async (answer) => ({ ...answer, knownBytes: knownIn(answer, descriptor, offset) }))
  if (!rangeOnly || opened.response.statusCode === 206) return opened
  opened.response.destroy()
  throw new RangeRefused(opened.endpoint.host)
}

// How many of the bytes that come are known. Throws for an answer that cannot be this blob: then the next endpoint is asked.
function knownIn({ response, endpoint }: Answer, descriptor: Descriptor, offset: number): number {
  const fail = (why: string): RegistryError => {
    response.destroy()
    return new RegistryError('corrupt', `${endpoint.host} ${why} of blob ${descriptor.digest}`)
  }
  const encoding = response.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') throw fail('encodes the bytes')
  if (response.statusCode === 206) {
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '')
    const total = range?.[3] === '*' ? descriptor.size : Number(range?.[3])
    if (range === null || Number(range[1]) !== offset || total !== descriptor.size)
      throw fail('sends another range than the one asked for')
    return 0
  }
  const length = response.headers['content-length']
  if (length !== undefined && Number(length) !== descriptor.size)
    throw fail(`sends ${length} instead of ${descriptor.size} bytes`)
  // It sends everything again: what is known is skipped, and the digest at the end proves that it was the same.
  return offset
}

async function* watched(response: HttpResponse, host: string, options: DownloadOptions): AsyncGenerator<Buffer> {
  let waiting = true
  let waitedMs = 0
  let since = monotonicMs()
  let gained = 0
  const stop = () => response.destroy(asError(options.signal.reason))
  options.signal.addEventListener('abort', stop, { once: true })
  // Time counts only while we wait: a slow disk on our side is no fault of the registry.
  const settle = () => {
    const now = monotonicMs()
    if (waiting) waitedMs += now - since
    since = now
  }
  const watchdog = setInterval(
    () => {
      settle()
      if (waitedMs > options.stallMs)
        response.destroy(new RegistryError('stalled', `${host} sent nothing for ${options.stallMs / 1000} s`))
    },
    Math.min(1000, options.stallMs / 4),
  )
  try {
    for await (const chunk of bulkBody(response) ?? response) {
      settle()
      waiting = false
      gained += chunk.length
      if (gained >= progressBytes) {
        gained = 0
        waitedMs = 0
      }
      yield chunk
      settle()
      waiting = true
    }
  } catch (err) {
    options.signal.throwIfAborted()
    throw connectionFailed(host, err)
  } finally {
    clearInterval(watchdog)
    options.signal.removeEventListener('abort', stop)
    response.destroy()
  }
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))
