import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { crc32, gzipSync } from 'node:zlib'
import { type GzipReader, loadCrc32, loadIsal } from './isal.ts'

const create = loadIsal()
// In the rings, which set everything up, its absence is a failure.
const skip = create === undefined && process.env['TEST_ROOT'] === undefined ? 'libisal2 is not installed' : false

/** What the reader makes of the pieces; undefined when it refuses them. */
function read(reader: GzipReader, pieces: readonly Buffer[], outputBytes: number): Buffer | undefined {
  const output = Buffer.allocUnsafeSlow(outputBytes)
  const found: Buffer[] = []
  for (const piece of pieces) {
    reader.give(piece)
    for (;;) {
      const count = reader.read(output)
      if (count < 0) return undefined
      found.push(Buffer.from(output.subarray(0, count)))
      if (reader.ended && reader.unread > 0) reader.restart()
      else if (count < output.length) break
    }
  }
  return reader.ended ? Buffer.concat(found) : undefined
}

function cut(data: Buffer, sizeBytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(data.length / sizeBytes) }, (_, i) => data.subarray(i * sizeBytes, (i + 1) * sizeBytes))
}

test('members of every kind of content, in pieces of every size', { skip }, () => {
  const contents = [Buffer.alloc(0), Buffer.from('x'), randomBytes(70_000), Buffer.alloc(300_000, 'abcdefg'), randomBytes(33)]
  for (const level of [0, 1, 6, 9]) {
    const data = Buffer.concat(contents.map((content) => gzipSync(content, { level })))
    for (const [piece, output] of [
      [1, 4096],
      [7, 11],
      [4096, 65_536],
      [data.length, 13],
      [data.length, 1 << 20],
    ] as const) {
      const found = create && read(create(), cut(data, piece), output)
      assert.ok(found?.equals(Buffer.concat(contents)), `level ${level}, pieces of ${piece} into ${output}`)
    }
  }
})

test('bytes changed at random are refused or change nothing, and never harm', { skip }, () => {
  const content = Buffer.from(randomBytes(3000).toString('base64'))
  const data = gzipSync(content)
  for (let round = 0; round < 2000; round++) {
    const broken = Buffer.from(data)
    const at = Math.floor(Math.random() * broken.length)
    broken[at] = Math.floor(Math.random() * 256)
    const found = create && read(create(), cut(broken, 500), 4096)
    if (found !== undefined) assert.ok(found.equals(content), `byte ${at} is 0x${broken[at]?.toString(16)}`)
  }
})

test('the checksum is that of zlib, for pieces of every size', { skip }, () => {
  const ours = loadCrc32()
  assert.notEqual(ours, crc32)
  for (const sizeBytes of [0, 1, 4095, 16_383, 16_384, 16_385, 262_144, 300_001]) {
    const data = randomBytes(sizeBytes)
    for (const before of [0, 1, 0xffff_ffff]) assert.equal(ours(data, before), crc32(data, before), `${sizeBytes} bytes`)
  }
  const data = randomBytes(200_000)
  const pieces = cut(data, 33_333)
  assert.equal(
    pieces.reduce((crc, piece) => ours(piece, crc), 0),
    crc32(data),
  )
})
