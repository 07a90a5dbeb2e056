import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { createHost } from '@coracle/host'
import type { HelperSettings } from './credential-helper.ts'
import { findCredentials } from './credentials.ts'
import { parseAuthFile } from './files/auth-file.ts'

describe('credentials of files and helpers', () => {
  const { processes } = createHost()
  const signal = AbortSignal.timeout(60_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-helpers-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))
  const helper = (name: string, script: string) => {
    const path = join(directory, `docker-credential-${name}`)
    writeFileSync(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o755)
  }
  const programs = (more: Partial<HelperSettings> = {}) => ({
    processes,
    settings: {
      directories: ['/nonexistent', directory],
      timeoutMs: 20_000,
      environment: { PATH: '/usr/bin:/bin', REGION: 'north' },
      ...more,
    },
  })
  const file = (value: unknown, name = '/auth.json') => parseAuthFile(name, JSON.stringify(value))
  const at = { host: 'r.io', repository: 'ns/app' }
  const find = (value: unknown, where = at, more: Partial<HelperSettings> = {}) =>
    findCredentials({ files: [file(value)], helpers: undefined, programs: programs(more) }, where, signal)

  test('the most specific key of the first file that knows the host', async () => {
    const auth = (user: string) => ({ username: user, password: 'p' })
    const auths = { 'r.io': auth('host'), 'r.io/ns': auth('ns'), 'r.io/ns/app': auth('app') }
    assert.equal((await find({ auths })).credentials?.username, 'app')
    assert.equal((await find({ auths }, { host: 'r.io', repository: 'ns/other/x' })).credentials?.username, 'ns')
    assert.equal((await find({ auths }, { host: 'r.io', repository: 'nsx' })).credentials?.username, 'host')
    assert.deepEqual(await find({ auths }, { host: 'r.io:5000', repository: 'ns/app' }), {})
    assert.deepEqual(await find({ auths }, { host: 'evil-r.io', repository: 'ns/app' }), {})
    const files = [file({ auths: { 'q.io': auth('q') } }, '/1'), file({ auths: { 'r.io': auth('second') } }, '/2')]
    const found = await findCredentials({ files, helpers: undefined, programs: programs() }, at, signal)
    assert.deepEqual([found.credentials?.username, found.from], ['second', '/2 auths "r.io"'])
  })

  test('a helper: asked for the host, by its name, with the environment it needs', async () => {
    helper(
      'here',
      'echo "$1 $(cat) $REGION $NODE_OPTIONS" > "$0.seen"; echo \'{"ServerURL":"r.io","Username":"u","Secret":"geheim"}\'',
    )
    const found = await find({ credHelpers: { 'r.io': 'here' }, auths: { 'r.io': { username: 'file', password: 'p' } } })
    assert.deepEqual(found.credentials, { username: 'u', password: 'geheim' })
    assert.equal(found.from, 'credential helper docker-credential-here (/auth.json credHelpers "r.io")')
    assert.equal(readFileSync(join(directory, 'docker-credential-here.seen'), 'utf8').trim(), 'get r.io north')
    const hub = { host: 'registry-1.docker.io', repository: 'library/x' }
    assert.deepEqual((await find({ credsStore: 'here' }, hub)).credentials, { username: 'u', password: 'geheim' })
    assert.match(readFileSync(join(directory, 'docker-credential-here.seen'), 'utf8'), /https:\/\/index\.docker\.io\/v1\//)
  })

  test('a helper with an identity token, and one that knows nothing', async () => {
    helper('token', 'echo \'{"Username":"<token>","Secret":"refresh"}\'')
    assert.deepEqual((await find({ credHelpers: { 'r.io': 'token' } })).credentials, { identityToken: 'refresh' })
    helper('none', 'echo "credentials not found in native keychain"; exit 1')
    const auths = { 'r.io': { username: 'file', password: 'p' } }
    assert.equal((await find({ credHelpers: { 'r.io': 'none' }, auths })).credentials?.username, 'file')
    assert.deepEqual(await find({ credHelpers: { 'r.io': 'none' } }), {})
  })

  test('a helper that is missing, fails, hangs, talks without end or nonsense: told, nothing of its output shown', async () => {
    helper('fails', 'echo geheim; echo "no region" >&2; exit 3')
    helper('hangs', 'sleep 60')
    helper('floods', 'while :; do echo geheimgeheimgeheimgeheimgeheim; done | head -c 1000000')
    helper('nonsense', 'echo geheim')
    helper('half', 'echo \'{"Username":"geheim"}\'')
    for (const [name, message] of [
      ['missing', /docker-credential-missing is in none of \/nonexistent/],
      ['fails', /ends with exit code 3: no region/],
      ['hangs', /did not|within|timed/i],
      ['floods', /more than 65536 bytes/],
      ['nonsense', /no JSON/],
      ['half', /without Username and Secret/],
    ] as const) {
      const { credentials, problem } = await find(
        { credHelpers: { 'r.io': name } },
        at,
        name === 'hangs' ? { timeoutMs: 300 } : {},
      )
      assert.equal(credentials, undefined)
      assert.match(problem ?? '', message)
      assert.doesNotMatch(problem ?? '', /geheim/)
    }
  })

  test('credential-helpers of registries.conf, in their order around the files', async () => {
    helper('first', 'echo "credentials not found"; exit 1')
    helper('last', 'echo \'{"Username":"helper","Secret":"s"}\'')
    const files = [file({ auths: { 'r.io': { username: 'file', password: 'p' } } })]
    const ask = (...value: string[]) =>
      findCredentials({ files, helpers: { value, from: '/r.conf:1' }, programs: programs() }, at, signal)
    assert.equal((await ask('first', 'containers-auth.json', 'last')).credentials?.username, 'file')
    assert.equal((await ask('first', 'last', 'containers-auth.json')).credentials?.username, 'helper')
    assert.deepEqual(await ask('first'), {})
  })

  test('offline no program runs, its name is told', async () => {
    const files = [file({ credHelpers: { 'r.io': 'here' } })]
    const found = await findCredentials({ files, helpers: undefined, programs: undefined }, at, signal)
    assert.deepEqual(found, { from: 'credential helper docker-credential-here (/auth.json credHelpers "r.io"), not asked' })
  })
})
