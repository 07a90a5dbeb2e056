import { CodedError } from '@coracle/base/errors'
import type { Channel } from '../channel.ts'
import type { Headers } from './header-block.ts'

/** One stream of a SPDY session: its channel and what the protocol keeps about it. */
export class SpdyStream {
  readonly id: number
  readonly headers: Headers
  readonly channel: Channel
  /**
   * A gentle stream takes no offence: a reset by the peer ends input and discards output, and giving it up here sends no reset.
   * Otherwise resets are passed on both ways as errors.
   */
  gentle = false
  sendWindow: number
  uncreditedBytes = 0
  localEnded = false
  remoteEnded = false
  readonly #reply = Promise.withResolvers<Headers>()

  constructor(init: Pick<SpdyStream, 'id' | 'headers' | 'channel' | 'sendWindow'>) {
    this.id = init.id
    this.headers = init.headers
    this.channel = init.channel
    this.sendWindow = init.sendWindow
    this.#reply.promise.catch(() => undefined)
  }

  /** The peer's answer to a stream we opened. Rejects with `unavailable` when it resets the stream instead. */
  get reply(): Promise<Headers> {
    return this.#reply.promise
  }

  replied(headers: Headers): void {
    this.#reply.resolve(headers)
  }

  sessionClosed(error: Error): void {
    this.#reply.reject(error)
    this.channel.fail(error)
  }

  peerReset(status: number): void {
    const error = new CodedError('unavailable', `peer reset stream ${this.id} with status ${status}`)
    this.#reply.reject(error)
    if (this.gentle) {
      this.channel.discardOutput()
      this.channel.deliverEnd()
    } else this.channel.fail(error)
  }
}
