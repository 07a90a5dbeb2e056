import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CodedError } from '@coracle/base/errors'
import { gnuLong, paxHeader, rawTar } from '@coracle/testkit/tar-builder'
import { cleanPath, type TarEntry } from './entry.ts'
import { TarReader } from './reader.ts'

function read(tar: Buffer, pieceBytes = tar.length): readonly string[] {
  const seen: string[] = []
  let content = Buffer.alloc(0)
  const reader = new TarReader({
    begin: (entry: TarEntry) => void seen.push(`${entry.kind} ${entry.path.toString('latin1')} ${entry.sizeBytes}`),
    data: (chunk) => {
      content = Buffer.concat([content, chunk])
    },
    end: () => {
      if (content.length > 0) seen.push(content.toString('latin1'))
      content = Buffer.alloc(0)
    },
  })
  for (let at = 0; at < tar.length; at += pieceBytes) reader.push(tar.subarray(at, at + pieceBytes))
  reader.finish()
  return seen
}

const sample = rawTar(
  { name: 'dir/', type: '5' },
  { name: 'a', body: 'x'.repeat(700) },
  paxHeader({ path: 'long/path', mtime: '1.5', 'SCHILY.xattr.user.a': 'b' }),
  { name: 'short', body: 'content' },
  gnuLong('L', `${'n'.repeat(150)}/${'m'.repeat(150)}`),
  { name: 'n', type: '2', link: 'target' },
)

describe('TarReader', () => {
  test('reads the same however the bytes are cut', () => {
    const whole = read(sample)
    assert.deepEqual(whole, [
      'directory dir 0',
      'file a 700',
      'x'.repeat(700),
      'file long/path 7',
      'content',
      `symlink ${'n'.repeat(150)}/${'m'.repeat(150)} 0`,
    ])
    for (const bytes of [1, 7, 511, 512, 513, 1000, 4096])
      assert.deepEqual(read(sample, bytes), whole, `pieces of ${bytes} bytes`)
  })

  test('CVE-2026-59874 CVE-2026-59875 10 000 mutated archives end in entries or an error, and soon', () => {
    let random = 1
    const next = (n: number) => {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff
      return random % n
    }
    const startedAt = performance.now()
    for (let round = 0; round < 10_000; round++) {
      const mutated = Buffer.from(sample.subarray(0, next(8) === 0 ? next(sample.length) : sample.length))
      for (let i = next(6); i >= 0 && mutated.length > 0; i--) mutated[next(mutated.length)] = next(256)
      if (next(2) === 0) fixChecksums(mutated)
      try {
        read(mutated)
      } catch (err) {
        assert.ok(err instanceof CodedError && err.code === 'invalid_argument', String(err))
      }
    }
    assert.ok(performance.now() - startedAt < 60_000)
  })

  function fixChecksums(tar: Buffer): void {
    for (let at = 0; at + 512 <= tar.length; at += 512) {
      if (tar.toString('latin1', at + 257, at + 262) !== 'ustar') continue
      tar.fill(0x20, at + 148, at + 156)
      const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
      tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
    }
  }
})

describe('cleanPath()', () => {
  const clean = (text: string) => cleanPath(Buffer.from(text)).toString()
  test('roots paths', () => {
    const cases = {
      'a/b': 'a/b',
      './a': 'a',
      '/a': 'a',
      '//a//b/': 'a/b',
      'a/./b': 'a/b',
      'a/../b': 'b',
      '/../../a': 'a',
      './': '',
      '/': '',
      '..a/...': '..a/...',
      '.hidden': '.hidden',
    }
    for (const [from, to] of Object.entries(cases)) assert.equal(clean(from), to, from)
    for (const bad of ['..', '../a', 'a/../..', './../a', 'n'.repeat(256), `a/${'n'.repeat(256)}/b`, 'x/'.repeat(3000)])
      assert.throws(() => clean(bad))
  })
})
