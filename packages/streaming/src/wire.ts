// A byte stream in both directions below SPDY or WebSocket: a socket, or a tunnel through another protocol.
import type { Socket } from 'node:net'

export interface WireEvents {
  data(chunk: Buffer): void
  /** What was written has left for the kernel. */
  drain(): void
  /** Once: the peer ended or cut the connection, or it stayed idle too long. Nothing comes after. */
  closed(reason: string): void
}

export interface Wire {
  /** Bytes written that the kernel has not taken yet. */
  readonly backlogBytes: number
  /** Attaches the receiver; nothing is read before. */
  start(events: WireEvents): void
  write(parts: readonly Buffer[]): void
  pause(): void
  resume(): void
  /** Half-close after everything written; the peer gets `lingerMs` to close its side. */
  end(lingerMs: number): void
  destroy(): void
}

/** A wire on a connected socket; `head` was read already. Ends by itself after `idleTimeoutMs` without a byte in either direction. */
export function socketWire(socket: Socket, head: Buffer, idleTimeoutMs: number): Wire {
  let events: WireEvents | undefined
  let corked = false
  const closed = (reason: string): void => {
    const receiver = events
    events = undefined
    receiver?.closed(reason)
  }
  const uncork = (): void => {
    corked = false
    socket.uncork()
  }
  const fail = (reason: string) => (): void => {
    closed(reason)
    socket.destroy()
  }
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 30_000)
  socket.setTimeout(idleTimeoutMs)
  socket.on('error', fail('connection broke'))
  socket.on('close', fail('connection closed'))
  socket.on('timeout', fail('connection idle too long'))
  return {
    get backlogBytes() {
      return socket.writableLength
    },
    start(receiver) {
      events = receiver
      socket.on('drain', () => events?.drain())
      socket.on('end', () => closed('peer ended the connection'))
      socket.on('data', (chunk: Buffer) => events?.data(chunk))
      if (head.length > 0) {
        // Behind the listeners, before anything the socket reads: it delivers in later ticks.
        events.data(head)
      }
    },
    write(parts) {
      if (!socket.writable) return
      // One system call for all frames written in this tick.
      if (!corked) {
        corked = true
        socket.cork()
        process.nextTick(uncork)
      }
      for (const part of parts) socket.write(part)
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end(lingerMs) {
      if (socket.destroyed) return
      socket.end()
      // Read on and drop: closing with unread bytes would reset the connection and lose our last bytes on their way.
      socket.resume()
      const timer = setTimeout(() => socket.destroy(), lingerMs)
      socket.once('close', () => clearTimeout(timer))
    },
    destroy: () => void socket.destroy(),
  }
}
