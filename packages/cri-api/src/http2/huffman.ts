// The Huffman code of header strings: RFC 7541 appendix B. The code is canonical, so the length of each symbol's code says all.
import { CodedError } from '@coracle/base/errors'

const END_OF_STRING = 256

/** Bits of the code of each byte value, and of the end-of-string symbol. */
// biome-ignore format: sixteen symbols a line
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
]

/** Symbols in the order of their codes, and for each length the first code and where its symbols begin. */
type Canonical = {
  readonly symbols: readonly number[]
  readonly firstCode: readonly number[]
  readonly firstIndex: readonly number[]
}

let canonical: Canonical | undefined

function buildCanonical(): Canonical {
  const symbols = LENGTHS.map((_, symbol) => symbol).sort((a, b) => (LENGTHS[a] ?? 0) - (LENGTHS[b] ?? 0) || a - b)
  const firstCode: number[] = []
  const firstIndex: number[] = []
  let code = 0
  let index = 0
  for (let length = 0; length <= 30; length++) {
    code *= 2
    firstCode.push(code)
    firstIndex.push(index)
    const count = LENGTHS.filter((bits) => bits === length).length
    code += count
    index += count
  }
  return { symbols, firstCode: [...firstCode, Number.POSITIVE_INFINITY], firstIndex: [...firstIndex, symbols.length] }
}

/** @throws CodedError `unavailable` when the bytes are no such code. */
export function decodeHuffman(bytes: Uint8Array): string {
  canonical ??= buildCanonical()
  const { symbols, firstCode, firstIndex } = canonical
  const decoded: number[] = []
  let code = 0
  let length = 0
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1)
      length++
      const index = (firstIndex[length] ?? 0) + code - (firstCode[length] ?? 0)
      if (index >= (firstIndex[length + 1] ?? 0)) continue
      const symbol = symbols[index] ?? END_OF_STRING
      if (symbol === END_OF_STRING) throw new CodedError('unavailable', 'the reply has a header in a broken Huffman code')
      decoded.push(symbol)
      code = 0
      length = 0
    }
  }
  // At most seven bits of padding, all ones.
  if (length > 7 || code !== 2 ** length - 1)
    throw new CodedError('unavailable', 'the reply has a header in a broken Huffman code')
  return Buffer.from(decoded).toString('latin1')
}
