// What streaming asks of the rest of the program: run the thing, given the client's ends of its stdio.
import type { Duplex, Readable, Writable } from 'node:stream'

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

export interface StdioSelection {
  readonly tty: boolean
  readonly stdin: boolean
  readonly stdout: boolean
  /** Never together with `tty`. */
  readonly stderr: boolean
}

export interface StreamExecRequest extends StdioSelection {
  readonly containerId: string
  readonly command: readonly string[]
}

export interface StreamAttachRequest extends StdioSelection {
  readonly containerId: string
}

export interface StreamPortForwardRequest {
  readonly podId: string
  /** For WebSocket clients, which get one connection a port. SPDY clients name the port of each connection themselves. */
  readonly ports: readonly number[]
}

/** The client's ends. Those that were not asked for are undefined. */
export interface ClientStreams {
  /**
   * The client's input. Ends when the client closes its half. Is destroyed with a `canceled` error when the client is gone, so that
   * `pipeline` tells the two apart. May be destroyed when nobody wants input any more: the client is not disturbed.
   */
  readonly stdin: Readable | undefined
  /** Writes wait for a client that reads slowly (some 450 KiB are held for a session). Destroyed with `canceled` when the client is gone. */
  readonly stdout: Writable | undefined
  readonly stderr: Writable | undefined
  /**
   * Calls back with the terminal's size: at once when the client has sent one, then on changes, at most every 20 ms and the last
   * one wins. Never after the session's end. One listener; undefined sizes do not occur.
   */
  onResize(listener: (size: TerminalSize) => void): void
}

export interface StreamTarget {
  /**
   * Runs a command and resolves to its exit code once all output was written to `streams` (it need not be ended or flushed: the
   * server does both before it reports the exit code). `signal` aborts when the client is gone, the session is idle too long or the
   * server closes: end the whole process tree then. (It also aborts after the session's regular end.) What it rejects with is shown to the client.
   */
  exec(request: StreamExecRequest, streams: ClientStreams, signal: AbortSignal): Promise<number>
  /** Resolves when the container ended and its output was written, or after `signal` aborted: detach then, without harm to the container. */
  attach(request: StreamAttachRequest, streams: ClientStreams, signal: AbortSignal): Promise<void>
  /**
   * A TCP connection to a port of the pod, made inside its network namespace. `allowHalfOpen` must be set, or a client that closes its
   * half loses the answer. `signal` aborts only the making.
   */
  dial(podId: string, port: number, signal: AbortSignal): Promise<Duplex>
}
