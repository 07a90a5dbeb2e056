// A target in memory for the tests of this room: "commands" are functions on the client's streams.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex, Readable, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import type { ClientStreams, StreamTarget, TerminalSize } from './target.ts'

type Program = (streams: ClientStreams, signal: AbortSignal, argument: string) => Promise<number>

export interface Events {
  readonly aborted: string[]
  readonly sizes: TerminalSize[]
}

const written = async (stream: Writable | undefined, data: string | Buffer): Promise<void> => {
  if (stream?.write(data) === false) await once(stream, 'drain')
}

const drained = async (input: Readable | undefined): Promise<number> => {
  let bytes = 0
  if (input !== undefined) for await (const chunk of input) bytes += (chunk as Buffer).length
  return bytes
}

export const programs: Readonly<Record<string, Program>> = {
  async cat({ stdin, stdout }) {
    if (stdin !== undefined && stdout !== undefined) await pipeline(stdin, stdout, { end: false })
    return 0
  },
  async echo({ stdout, stderr }, _signal, argument) {
    await written(stdout, `${argument}\n`)
    await written(stderr, 'to stderr\n')
    return 0
  },
  async exit(_streams, _signal, argument) {
    return Number(argument)
  },
  async fail() {
    throw new Error('no such program')
  },
  async count({ stdin, stdout }) {
    await written(stdout, String(await drained(stdin)))
    return 0
  },
  /** Writes `argument` bytes to stdout, then exits with 7. */
  async flood({ stdout }, _signal, argument) {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    for (let left = Number(argument); left > 0; left -= chunk.length) {
      await written(stdout, left >= chunk.length ? chunk : chunk.subarray(0, left))
    }
    return 7
  },
  /** Until the client is gone. */
  async sleep(_streams, signal) {
    if (!signal.aborted) await once(signal, 'abort')
    return 137
  },
  /** Reads no input, ends when the client is gone. */
  async closeStdin({ stdin, stdout }, signal) {
    stdin?.destroy()
    await written(stdout, 'closed')
    if (!signal.aborted) await once(signal, 'abort')
    return 0
  },
}

/** Command words: name of the program, argument. Port-forward dials 127.0.0.1. */
export function createTestTarget(): StreamTarget & { readonly events: Events } {
  const events: Events = { aborted: [], sizes: [] }
  const run = async (name: string, argument: string, streams: ClientStreams, signal: AbortSignal): Promise<number> => {
    signal.addEventListener('abort', () => events.aborted.push(name), { once: true })
    streams.onResize((size) => events.sizes.push(size))
    const program = programs[name]
    if (program === undefined) throw new Error(`unknown program ${name}`)
    return program(streams, signal, argument)
  }
  return {
    events,
    exec: ({ command: [name = '', argument = ''] }, streams, signal) => run(name, argument, streams, signal),
    attach: async ({ containerId }, streams, signal) => {
      await run(containerId, '', streams, signal)
    },
    async dial(_podId, port, signal): Promise<Duplex> {
      const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
      signal.addEventListener('abort', () => socket.destroy(), { once: true })
      await Promise.race([once(socket, 'connect'), finished(socket)])
      return socket
    },
  }
}
