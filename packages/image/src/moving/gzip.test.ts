import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { gzip } from './gzip.ts'

async function* inPieces(content: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < content.length; start += pieceBytes) yield content.subarray(start, start + pieceBytes)
}

const all = async (content: AsyncIterable<Buffer>): Promise<Buffer> => Buffer.concat(await Array.fromAsync(gzip(content)))

test('gzip(): what comes out is what went in, and the same every time', async () => {
  const words = Buffer.alloc(5_000_000, Array.from({ length: 2000 }, (_, i) => `line ${i * 7919}\n`).join(''))
  for (const content of [Buffer.alloc(0), Buffer.from('x'), words, randomBytes(2_500_000)]) {
    const blob = await all(inPieces(content, 100_000))
    assert.ok(gunzipSync(blob).equals(content))
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    assert.equal(digest(await all(inPieces(content, 100_000))), digest(blob))
  }
})

test('gzip(): an error of the content is told', async () => {
  const broken = async function* () {
    yield Buffer.alloc(3_000_000)
    throw new Error('lost')
  }
  await assert.rejects(all(broken()), /lost/)
})

test('gzip(): whoever stops reading early waits for nothing', async () => {
  let given = 0
  const endless = async function* () {
    for (;;) {
      given++
      yield randomBytes(1024 * 1024)
    }
  }
  for await (const _ of gzip(endless())) break
  assert.ok(given < 20, `${given}`)
})
