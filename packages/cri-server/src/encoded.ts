// Lists are asked for each second: the encoding of every item is kept as long as its record stays the same object.
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf'
import { create, toBinary } from '@coracle/cri-api/protobuf'

/** A response that is encoded already. */
export class Encoded {
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

/**
 * Makes a function from a record to its encoding as an item of field 1 of a list response (protobuf encoding: tag 0x0a, length,
 * message). Remembered by the identity of the record, which is replaced whenever it changes.
 */
export function cachedItem<R extends object, D extends DescMessage>(
  schema: D,
  convert: (record: R) => MessageInitShape<D>,
): (record: R) => Buffer {
  const cache = new WeakMap<R, Buffer>()
  return (record) => {
    let item = cache.get(record)
    if (item === undefined) {
      item = itemOf(schema, convert(record))
      cache.set(record, item)
    }
    return item
  }
}

/** A message as an item of field 1 of a list response. */
export function itemOf<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Buffer {
  return field(1, [toBinary(schema, create(schema, message))])
}

/** A field that is a message, by its number below 16, from the encodings of its parts: those of one message may stand apart. */
export function field(number: number, parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(length), ...parts])
}

/** Items joined are a list response whose only field, number 1, is repeated. */
export const listOf = (items: readonly Buffer[]): Encoded => new Encoded(Buffer.concat(items))

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** Largest message of a streamed list, well below what any client takes. */
const chunkBytes = 1024 * 1024

/** The same items as messages of at most about 1 MiB, each with one item at least. */
export function* chunksOf(items: readonly Buffer[]): Generator<Encoded> {
  let chunk: Buffer[] = []
  let size = 0
  for (const item of items) {
    if (size > 0 && size + item.length > chunkBytes) {
      yield listOf(chunk)
      chunk = []
      size = 0
    }
    chunk.push(item)
    size += item.length
  }
  if (size > 0) yield listOf(chunk)
}
