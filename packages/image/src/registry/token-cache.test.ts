import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenCache } from './token-cache.ts'

const identity = { baseUrl: 'https://r/v2', repository: 'a', credentials: { username: 'u', password: 'p' } }

test('R-04 a token serves its repository, its registry and its credentials only', () => {
  const tokens = new TokenCache()
  tokens.keep(identity, 'Bearer t', 300)
  assert.equal(tokens.find(identity), 'Bearer t')
  assert.equal(tokens.find({ ...identity, credentials: undefined }), undefined)
  assert.equal(tokens.find({ ...identity, credentials: { username: 'u', password: 'q' } }), undefined)
  assert.equal(tokens.find({ ...identity, repository: 'b' }), undefined)
  assert.equal(tokens.find({ ...identity, baseUrl: 'https://s/v2' }), undefined)
  tokens.forget(identity)
  assert.equal(tokens.find(identity), undefined)
})

test('R-04 expires_in of zero, below zero, and huge', () => {
  const tokens = new TokenCache()
  for (const seconds of [0, -1, 5, Number.NaN]) {
    tokens.keep(identity, 'Bearer t', seconds)
    assert.equal(tokens.find(identity), undefined, String(seconds))
  }
  tokens.keep(identity, 'Bearer t', 1e300)
  assert.equal(tokens.find(identity), 'Bearer t')
})

test('the oldest go when there are too many', () => {
  const tokens = new TokenCache()
  for (let i = 0; i < 1001; i++) tokens.keep({ ...identity, repository: `r${i}` }, 'Bearer t', 300)
  assert.equal(tokens.find({ ...identity, repository: 'r0' }), undefined)
  assert.equal(tokens.find({ ...identity, repository: 'r1000' }), 'Bearer t')
})
