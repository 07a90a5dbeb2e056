import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { mountFlags, parseMountOptions } from './mount-options.ts'
import { splitLayers } from './overlay-options.ts'

test('parseMountOptions() sorts words into flags, propagation and data', () => {
  const { flags, cleared, propagation, data } = parseMountOptions([
    'rbind',
    'ro',
    'nosuid',
    'suid',
    'rprivate',
    'size=64m',
    'defaults',
    '',
  ])
  assert.equal(flags, mountFlags.bind | mountFlags.rec | mountFlags.rdonly)
  assert.equal(cleared, mountFlags.nosuid)
  assert.deepEqual(propagation, [mountFlags.private | mountFlags.rec])
  assert.deepEqual(data, ['size=64m'])
})

test('parseMountOptions() lets the last of a pair win', () => {
  assert.equal(parseMountOptions(['ro', 'rw']).flags, 0)
  const { flags, cleared } = parseMountOptions(['rw', 'ro'])
  assert.equal(flags, mountFlags.rdonly)
  assert.equal(cleared, 0)
})

test('parseMountOptions() refuses a word that smuggles in another option', () => {
  for (const word of ['lowerdir=/a,upperdir=/b', 'mode=1777,suid', 'a\0b'])
    assert.throws(
      () => parseMountOptions([word]),
      (err) => codeOf(err) === 'invalid_argument',
    )
})

test('parseMountOptions() takes escaped and quoted commas, and names of Object.prototype', () => {
  const words = ['lowerdir=/a\\,b:/c', 'context="system_u:object_r:x:s0:c1,c2"', 'constructor']
  assert.deepEqual(parseMountOptions(words).data, words)
})

test('splitLayers() splits at bare colons and takes escapes away', () => {
  assert.deepEqual(splitLayers('/a\\:b:/c\\,d:/e'), ['/a:b', '/c,d', '/e'])
})
