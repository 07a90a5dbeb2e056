// Flow control of a SPDY/3.1 session (draft section 2.6.8): how much may be sent, and when the peer gets back what it used.
//
// The Go implementation behind kubelet and kubectl knows no windows: it neither sends WINDOW_UPDATE nor heeds ours. So we send
// without limit (other than TCP's) until the peer has shown by SETTINGS or WINDOW_UPDATE that it keeps windows, and a peer that
// overruns ours is not cut off: the connection is read no further until the readers caught up (Intake).
import { invalid } from '@coracle/base/errors'
import { DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES } from './frames.ts'
import type { SpdyStream } from './stream.ts'

export class Flow {
  readonly #streamWindowBytes: number
  readonly #sessionWindowBytes: number
  /** Sends a WINDOW_UPDATE. */
  readonly #update: (streamId: number, delta: number) => void
  #peerKeepsWindows = false
  #initialWindow = DEFAULT_WINDOW_BYTES
  #sendWindow = DEFAULT_WINDOW_BYTES
  #uncreditedBytes = 0

  constructor(
    windows: { readonly streamWindowBytes: number; readonly intakeBytes: number },
    update: (streamId: number, delta: number) => void,
  ) {
    this.#streamWindowBytes = windows.streamWindowBytes
    this.#sessionWindowBytes = windows.intakeBytes
    this.#update = update
  }

  /** Of a stream that is opened now. */
  get initialWindow(): number {
    return this.#initialWindow
  }

  /** How many bytes the stream may send now; zero or less: none. */
  room(stream: SpdyStream): number {
    return this.#peerKeepsWindows ? Math.min(stream.sendWindow, this.#sendWindow) : Number.POSITIVE_INFINITY
  }

  sent(stream: SpdyStream, bytes: number): void {
    stream.sendWindow -= bytes
    this.#sendWindow -= bytes
  }

  /** The peer changed the window that streams begin with; the open ones change alike. */
  setInitialWindow(bytes: number, streams: Iterable<SpdyStream>): void {
    if (bytes > MAX_WINDOW_BYTES) throw invalid(`spdy initial window is ${bytes}, expected at most ${MAX_WINDOW_BYTES}`)
    for (const stream of streams) stream.sendWindow += bytes - this.#initialWindow
    this.#initialWindow = bytes
    this.#peerKeepsWindows = true
  }

  growSession(delta: number): void {
    this.#peerKeepsWindows = true
    this.#sendWindow += delta
    if (this.#sendWindow > MAX_WINDOW_BYTES) throw invalid(`spdy session window grew over ${MAX_WINDOW_BYTES}`)
  }

  /** False when the stream's window grew too large, which is an error of that stream. */
  growStream(stream: SpdyStream, delta: number): boolean {
    this.#peerKeepsWindows = true
    stream.sendWindow += delta
    return stream.sendWindow <= MAX_WINDOW_BYTES
  }

  /** Received bytes were read or dropped. Updates go out once half a window has gathered. */
  credit(bytes: number, stream: SpdyStream | undefined): void {
    this.#uncreditedBytes += bytes
    if (this.#uncreditedBytes >= this.#sessionWindowBytes / 2) {
      this.#update(0, this.#uncreditedBytes)
      this.#uncreditedBytes = 0
    }
    if (stream === undefined || stream.remoteEnded) return
    stream.uncreditedBytes += bytes
    if (stream.uncreditedBytes >= this.#streamWindowBytes / 2) {
      this.#update(stream.id, stream.uncreditedBytes)
      stream.uncreditedBytes = 0
    }
  }
}
