/** Numbers from 0 to below 1, the same for the same seed (mulberry32): a failing fuzz run can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export const below = (random: () => number, limit: number): number => Math.floor(random() * limit)

export function randomBytesOf(random: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => below(random, 256)))
}

/** A few bytes changed, cut out, doubled or put in. */
export function mutate(random: () => number, original: Buffer): Buffer {
  let bytes = Buffer.from(original)
  for (let n = 1 + below(random, 4); n > 0 && bytes.length > 0; n--) {
    const at = below(random, bytes.length)
    const length = 1 + below(random, 8)
    const kind = below(random, 5)
    if (kind === 0) bytes[at] = below(random, 256)
    else if (kind === 1)
      bytes[at] = (bytes[at] as number) ^ (1 << below(random, 8)) // at < length
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
    else bytes = Buffer.concat([bytes.subarray(0, at), randomBytesOf(random, length), bytes.subarray(at)])
  }
  return bytes
}
