import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../usage-error.ts'
import { DetachWatch, parseDetachKeys } from './detach-keys.ts'

function typed(keys: string, ...pieces: string[]): string {
  const watch = new DetachWatch(parseDetachKeys(keys))
  let text = ''
  for (const piece of pieces) {
    const { pass, detached } = watch.feed(Buffer.from(piece, 'latin1'))
    text += pass.toString('latin1')
    if (detached) return `${text}!`
  }
  return text
}

test('the keys detach, in one piece or several, and are not passed on', () => {
  assert.equal(typed('ctrl-p,ctrl-q', 'ab\x10\x11cd'), 'ab!')
  assert.equal(typed('ctrl-p,ctrl-q', 'ab\x10', '\x11', 'cd'), 'ab!')
  assert.equal(typed('x', 'abxc'), 'ab!')
})

test('the start of the keys alone is passed on as soon as it is no sequence', () => {
  assert.equal(typed('ctrl-p,ctrl-q', 'a\x10'), 'a')
  assert.equal(typed('ctrl-p,ctrl-q', 'a\x10', 'b'), 'a\x10b')
  assert.equal(typed('ctrl-p,ctrl-q', '\x10\x10\x11'), '\x10!')
  assert.equal(typed('a,a,b', 'aaab'), 'a!')
  assert.equal(typed('a,b,a,c', 'ababac'), 'ab!')
})

test('without keys everything passes', () => assert.equal(typed('', '\x10\x11'), '\x10\x11'))

test('what is no key is refused', () => {
  for (const text of ['ctrl-', 'ctrl-pp', ',', 'alt-x', 'ctrl-1']) assert.throws(() => parseDetachKeys(text), UsageError, text)
})
