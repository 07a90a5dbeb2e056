// conmon's attach socket: SEQPACKET; each packet from it begins with a byte that names the stream, packets to it are stdin.
import type { Sockets } from '@coracle/host'
import type { AttachSession } from '../oci-runtime.ts'

const stdoutByte = 2
const stderrByte = 3
// conmon reads at most 32 KiB of a packet and loses the rest.
const maxPacketBytes = 16 * 1024

/** Throws what the socket's connect does: mostly that the monitor is gone. */
export async function attachTo(sockets: Sockets, path: string): Promise<AttachSession> {
  const connection = await sockets.connectSeqpacket(path)
  async function* output() {
    for await (const packet of connection.packets) {
      const stream = packet[0] === stdoutByte ? 'stdout' : packet[0] === stderrByte ? 'stderr' : undefined
      if (stream !== undefined && packet.length > 1) yield { stream, data: packet.subarray(1) } as const
    }
  }
  return {
    output: output(),
    async write(data) {
      // An empty packet would read as the end of input.
      for (let at = 0; at < data.length; at += maxPacketBytes) await connection.send(data.subarray(at, at + maxPacketBytes))
    },
    endInput: () => connection.end(),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  }
}
