import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secrets } from './secrets.ts'

test('R-25 a secret that comes back is hidden, however it was sent: in a form, a URL, JSON; also one that begins another', () => {
  const secrets = new Secrets()
  secrets.add('gehe', 'gehe/im+1==', 'zwei "drei"', undefined, 'kurz'.slice(1, 3))
  const form = new URLSearchParams({ a: 'gehe/im+1==', b: 'zwei "drei"' }).toString()
  assert.equal(secrets.redact(form), 'a=***&b=***')
  assert.equal(secrets.redact(`?t=${encodeURIComponent('zwei "drei"')}`), '?t=***')
  assert.equal(secrets.redact(JSON.stringify(['gehe/im+1==', 'zwei "drei"'])), '[\\"***\\",\\"***\\"]')
  assert.equal(secrets.redact('ur stays'), 'ur stays')
})
