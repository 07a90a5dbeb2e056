import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { authKeys, parseAuthFile } from './auth-file.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const parse = (value: unknown) => parseAuthFile('/auth.json', JSON.stringify(value))

describe('auth files', () => {
  test('pairs, tokens, helpers; keys of old', () => {
    const { auths, helpers, store } = parse({
      auths: {
        'https://index.docker.io/v1/': { auth: base64('hub:p:w') },
        'r.io/ns/app': { username: 'u', password: 'p' },
        'r.io': { auth: base64('<token>:\0'), identitytoken: 'refresh' },
        'q.io/': { registrytoken: 'bearer' },
        'registry-1.docker.io/ns': { auth: base64('x:y') },
        'empty.io': {},
      },
      credHelpers: { 'gcr.io': 'gcloud', 'https://ecr.aws': 'ecr-login' },
      credsStore: 'secretservice',
      HttpHeaders: { ignored: true },
    })
    assert.deepEqual(Object.fromEntries(auths), {
      'docker.io': { username: 'hub', password: 'p:w' },
      'r.io/ns/app': { username: 'u', password: 'p' },
      'r.io': { identityToken: 'refresh', username: '<token>' },
      'q.io': { registryToken: 'bearer' },
      'docker.io/ns': { username: 'x', password: 'y' },
    })
    assert.deepEqual(Object.fromEntries(helpers), { 'gcr.io': 'gcloud', 'ecr.aws': 'ecr-login' })
    assert.equal(store, 'secretservice')
  })

  test('of several keys for one host the plain one counts, else the first: docker keeps its tokens under more URLs', () => {
    const hub = 'https://index.docker.io/v1/'
    const { auths, helpers } = parse({
      auths: {
        [hub]: { auth: base64('me:login') },
        [`${hub}access-token`]: { auth: base64('me:access') },
        [`${hub}refresh-token`]: { auth: base64('me:refresh') },
        'https://r.io/v1/': { auth: base64('me:old') },
        'r.io': { auth: base64('me:new') },
        'http://r.io': { auth: base64('me:older') },
      },
      credHelpers: { 'https://r.io': 'old', 'r.io': 'new' },
    })
    assert.deepEqual(Object.fromEntries(auths), {
      'r.io': { username: 'me', password: 'new' },
      'docker.io': { username: 'me', password: 'login' },
    })
    assert.equal(helpers.get('r.io'), 'new')
  })

  test('keys to look under, the most specific first', () => {
    assert.deepEqual(authKeys('r.io:5000', 'a/b/c'), ['r.io:5000/a/b/c', 'r.io:5000/a/b', 'r.io:5000/a', 'r.io:5000'])
    assert.deepEqual(authKeys('registry-1.docker.io', 'library/x'), ['docker.io/library/x', 'docker.io/library', 'docker.io'])
  })

  test('what is wrong is named, what is secret is not shown', () => {
    for (const [value, message] of [
      [{ auths: [] }, /auth\.json: auths has the wrong type/],
      [{ auths: { 'r.io': 'geheim' } }, /auths\."r\.io" has the wrong type/],
      [{ auths: { 'r.io': { auth: 'geheim' } } }, /auths\."r\.io"\.auth must be the base64/],
      [{ auths: { 'r.io': { password: ['geheim'], username: 'u' } } }, /auths\."r\.io"\.password has the wrong type/],
      [{ credHelpers: { 'r.io': '../geheim' } }, /"r\.io" names no credential helper/],
      [{ credsStore: '/bin/geheim' }, /"credsStore" names no credential helper/],
    ] as const)
      assert.throws(
        () => parse(value),
        (err) => err instanceof Error && message.test(err.message) && !err.message.includes('geheim'),
      )
    assert.throws(
      () => parseAuthFile('/auth.json', '{\n"auths": {"r.io": geheim}}'),
      (err) => err instanceof Error && /auth\.json: is no JSON/.test(err.message) && !/geheim/.test(err.message + err.cause),
    )
  })
})
