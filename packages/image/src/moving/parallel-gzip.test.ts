import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import zlib from 'node:zlib'
import { parallelGzip } from './parallel-gzip.ts'

async function gzip(pieces: readonly Buffer[], level = 6): Promise<Buffer> {
  const content = async function* () {
    yield* pieces
  }
  return Buffer.concat(await Array.fromAsync(parallelGzip(content(), level)))
}

/** Compresses well within a block and, with the block before as dictionary, across its border. */
const words = (bytes: number): Buffer =>
  Buffer.alloc(bytes, Array.from({ length: 2000 }, (_, i) => `line ${i * 7919}\n`).join(''))

describe('parallel gzip', () => {
  const contents: Readonly<Record<string, Buffer>> = {
    nothing: Buffer.alloc(0),
    'one byte': Buffer.from('x'),
    'a block': words(512 * 1024),
    'a block and a byte': words(512 * 1024 + 1),
    'many blocks': words(5_000_000),
    noise: randomBytes(3_000_000),
    zeros: Buffer.alloc(8_000_000),
  }
  for (const [what, content] of Object.entries(contents)) {
    test(`${what}: one member that zlib reads, however it comes in pieces`, async () => {
      const blob = await gzip([content])
      const { buffer, engine } = zlib.gunzipSync(blob, { info: true }) as unknown as {
        readonly buffer: Buffer
        readonly engine: { readonly bytesWritten: number }
      }
      assert.ok(buffer.equals(content))
      assert.equal(engine.bytesWritten, blob.length)
      const pieces = Array.from({ length: Math.ceil(content.length / 77_777) }, (_, i) =>
        content.subarray(i * 77_777, (i + 1) * 77_777),
      )
      assert.ok((await gzip(pieces)).equals(blob), 'the same bytes')
    })
  }

  test('gzip(1) finds nothing wrong', async () => {
    execFileSync('gzip', ['-t'], { input: await gzip([words(3_000_000)]) })
  })

  test('is hardly larger than what one compressor makes', async () => {
    const content = words(5_000_000)
    const [ours, theirs] = [(await gzip([content])).length, zlib.gzipSync(content, { level: 6 }).length]
    assert.ok(ours < theirs * 1.1, `${ours} ${theirs}`)
  })

  test('an error of the content is told, and stops it', async () => {
    const broken = async function* () {
      yield words(2_000_000)
      throw new Error('lost')
    }
    await assert.rejects(Array.fromAsync(parallelGzip(broken(), 6)), /lost/)
  })
})
