// gRPC's length-prefixed messages: one byte "compressed", four bytes length (big endian), then the message.
import { CodedError } from '@coracle/base/errors'

const PREFIX_BYTES = 5
/** List replies of a full node stay far below; a peer that sends more is broken. */
export const MAX_MESSAGE_BYTES = 80 << 20

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  return framed
}

/**
 * The messages in a stream of chunks cut anywhere.
 * @throws CodedError `resource_exhausted` above 80 MiB, `unimplemented` for a compressed message (we never offer a codec),
 *   `data_loss` when the stream ends inside a message.
 */
export async function* unframe(chunks: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let neededBytes = PREFIX_BYTES
  for await (const chunk of chunks) {
    pending.push(chunk)
    pendingBytes += chunk.length
    if (pendingBytes < neededBytes) continue
    let buffer = pending.length === 1 ? chunk : Buffer.concat(pending)
    neededBytes = frameBytes(buffer)
    while (buffer.length >= neededBytes) {
      yield buffer.subarray(PREFIX_BYTES, neededBytes)
      buffer = buffer.subarray(neededBytes)
      neededBytes = frameBytes(buffer)
    }
    pending = buffer.length > 0 ? [buffer] : []
    pendingBytes = buffer.length
  }
  if (pendingBytes > 0)
    throw new CodedError('data_loss', `the reply ended after ${pendingBytes} of ${neededBytes} bytes of a message`)
}

/** Bytes of the frame that `buffer` starts with, as far as they are known yet. */
function frameBytes(buffer: Buffer): number {
  if (buffer.length < PREFIX_BYTES) return PREFIX_BYTES
  const messageBytes = buffer.readUInt32BE(1)
  if (messageBytes > MAX_MESSAGE_BYTES)
    throw new CodedError(
      'resource_exhausted',
      `the reply has a message of ${messageBytes} bytes; at most ${MAX_MESSAGE_BYTES} are accepted`,
    )
  if (buffer[0] !== 0) throw new CodedError('unimplemented', 'the reply is compressed, which was not offered')
  return PREFIX_BYTES + messageBytes
}
