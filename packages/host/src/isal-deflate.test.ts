import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { loadIsalGzip } from './isal-deflate.ts'

const create = loadIsalGzip()

test('isal gzip: zlib reads what it writes, of pieces of any size', {
  skip: create === undefined && 'the library is not on this machine',
}, async () => {
  assert.ok(create)
  const words = Buffer.alloc(5_000_000, Array.from({ length: 2000 }, (_, i) => `line ${i * 7919}\n`).join(''))
  const contents = [Buffer.alloc(0), Buffer.from('x'), words, randomBytes(3_000_000), Buffer.alloc(20_000_000)]
  for (const content of contents) {
    for (const pieceBytes of [1_000_003, 65_536, 4_000_000]) {
      const writer = create()
      const made: Buffer[] = []
      for (let start = 0; start < content.length; start += pieceBytes)
        made.push(await writer.write(content.subarray(start, start + pieceBytes)))
      made.push(await writer.finish())
      assert.ok(gunzipSync(Buffer.concat(made)).equals(content), `${content.length} in pieces of ${pieceBytes}`)
    }
  }
  const small = create()
  const bytes: Buffer[] = []
  for (const byte of 'byte by byte') bytes.push(await small.write(Buffer.from(byte)))
  assert.equal(gunzipSync(Buffer.concat([...bytes, await small.finish()])).toString(), 'byte by byte')
})

test('isal gzip: several writers at once do not disturb each other', {
  skip: create === undefined && 'the library is not on this machine',
}, async () => {
  assert.ok(create)
  await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      const content = Buffer.alloc(2_000_000, `writer ${i} `)
      const writer = create()
      const first = await writer.write(content.subarray(0, 700_000))
      const second = await writer.write(content.subarray(700_000))
      assert.ok(gunzipSync(Buffer.concat([first, second, await writer.finish()])).equals(content))
    }),
  )
})
