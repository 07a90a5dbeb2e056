// One blob into a registry (distribution-spec, pushing blobs): a small one at once, a large one in chunks. After a broken connection the
// registry is asked how much it has, and the rest of the chunk, which is still in memory, is sent.
import { CodedError } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import type { Descriptor } from '@coracle/oci-spec/image'
import { RegistryError } from '../registry/errors.ts'
import type { Answer, RegistrySender } from './registry-sender.ts'

const chunkBytes = 8 * 1024 * 1024
const maxChunkBytes = 64 * 1024 * 1024
const maxTries = 5

export class Upload {
  readonly #sender: RegistrySender
  #location = ''
  #offset = 0

  constructor(sender: RegistrySender) {
    this.#sender = sender
  }

  /** Throws what `content` throws, with nothing committed; RegistryError when the registry refuses. */
  async run(blob: Descriptor, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    const smallestBytes = await this.#begin(signal)
    const size = Math.max(chunkBytes, smallestBytes)
    let pending: Buffer[] = []
    let pendingBytes = 0
    for await (const piece of content) {
      pending.push(piece)
      pendingBytes += piece.length
      if (pendingBytes < size || this.#offset + pendingBytes === blob.size) continue
      await this.#patch(Buffer.concat(pending), signal)
      pending = []
      pendingBytes = 0
    }
    const rest = Buffer.concat(pending)
    if (this.#offset > 0) {
      if (rest.length > 0) await this.#patch(rest, signal)
      await this.#finish(blob, Buffer.alloc(0), signal)
    } else await this.#finish(blob, rest, signal)
  }

  async #begin(signal: AbortSignal): Promise<number> {
    const answer = await this.#sender.send({
      method: 'POST',
      path: 'blobs/uploads/',
      body: Buffer.alloc(0),
      expected: [202],
      signal,
    })
    this.#follow(answer)
    const smallest = Number(answer.headers['oci-chunk-min-length'] ?? 0)
    if (smallest > maxChunkBytes) throw new RegistryError('protocol', `registry wants chunks of at least ${smallest} bytes`)
    return Number.isSafeInteger(smallest) ? smallest : 0
  }

  #follow(answer: Answer): void {
    const { location } = answer.headers
    answer.destroy()
    if (location !== undefined) this.#location = location
    if (this.#location === '') throw new RegistryError('protocol', 'registry begins an upload without saying where')
  }

  async #patch(chunk: Buffer, signal: AbortSignal): Promise<void> {
    const start = this.#offset
    for (let tries = 1; ; tries++) {
      const rest = chunk.subarray(this.#offset - start)
      if (rest.length === 0) return
      try {
        const answer = await this.#sender.send({
          method: 'PATCH',
          path: this.#location,
          headers: {
            'content-type': 'application/octet-stream',
            'content-range': `${this.#offset}-${this.#offset + rest.length - 1}`,
          },
          body: rest,
          expected: [202, 204],
          signal,
        })
        this.#follow(answer)
        this.#offset = start + chunk.length
        return
      } catch (err) {
        signal.throwIfAborted()
        if (!mayResume(err) || tries >= maxTries) throw err
        await delay(this.#sender.retryBaseMs * 2 ** (tries - 1), signal)
        this.#offset = await this.#received(start, start + chunk.length, signal)
      }
    }
  }

  /** How much the registry has. Throws when that is not a part of the chunk being sent. */
  async #received(from: number, to: number, signal: AbortSignal): Promise<number> {
    const answer = await this.#sender.send({ method: 'GET', path: this.#location, expected: [204, 202, 200], signal })
    const range = /^(?:bytes=)?0-(\d+)$/.exec(String(answer.headers.range ?? ''))
    this.#follow(answer)
    // `0-0` stands for nothing as well as for one byte; sending that byte again would be refused, so nothing it is.
    const received = range === null || range[1] === '0' ? 0 : Number(range[1]) + 1
    if (received < from || received > to)
      throw new CodedError(
        'unavailable',
        `registry has ${received} bytes of an upload that stood at ${from}: it cannot be resumed`,
      )
    return received
  }

  async #finish(blob: Descriptor, rest: Buffer, signal: AbortSignal): Promise<void> {
    const answer = await this.#sender.send({
      method: 'PUT',
      path: this.#location,
      query: { digest: blob.digest },
      headers: { 'content-type': 'application/octet-stream' },
      body: rest,
      expected: [201],
      signal,
    })
    answer.destroy()
  }
}

const mayResume = (err: unknown): boolean =>
  err instanceof RegistryError && (['unavailable', 'stalled'].includes(err.failure) || err.status === 416)
