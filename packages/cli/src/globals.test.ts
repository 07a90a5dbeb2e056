import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseGlobals, resolveEndpoints, socketPath } from './globals.ts'

const base = mkdtempSync(join(tmpdir(), 'cli-globals-'))
after(() => rmSync(base, { recursive: true }))

const endpoints = (args: string[], environment: Record<string, string> = {}) =>
  resolveEndpoints(parseGlobals(args).options, environment)

test('global options stand before the command, the rest is its own', () => {
  const { options, name, rest } = parseGlobals(['-r', 'unix:///x', '--timeout=5s', 'logs', '-t', 'web'])
  assert.deepEqual([options['runtime-endpoint'], options.timeout, name, rest], ['unix:///x', 5000, 'logs', ['-t', 'web']])
})

test('flags, then environment, then file, then defaults', async () => {
  const path = join(mkdtempSync(join(base, 'x')), 'crictl.yaml')
  writeFileSync(path, 'runtime-endpoint: unix:///file.sock\nimage-endpoint: ""\ntimeout: 7\ndebug: false\n')
  assert.deepEqual(await endpoints([]), {
    runtimeSocket: '/run/coracle/coracle.sock',
    imageSocket: '/run/coracle/coracle.sock',
    timeoutMs: 120_000,
  })
  assert.deepEqual(await endpoints(['-c', path]), { runtimeSocket: '/file.sock', imageSocket: '/file.sock', timeoutMs: 7000 })
  assert.equal((await endpoints(['-c', path], { CONTAINER_RUNTIME_ENDPOINT: 'unix:///env' })).runtimeSocket, '/env')
  assert.equal((await endpoints([], { CORACLE_SOCKET: '/a', CONTAINER_RUNTIME_ENDPOINT: '/b' })).runtimeSocket, '/a')
  const both = await endpoints(['-r', '/r', '-i', '/i', '-t', '0'], { CORACLE_SOCKET: '/a' })
  assert.deepEqual(both, { runtimeSocket: '/r', imageSocket: '/i', timeoutMs: 0 })
})

test('only unix sockets', async () => {
  assert.equal(socketPath('unix:/x'), '/x')
  assert.throws(() => socketPath('tcp://1.2.3.4:5'), { code: 'invalid_argument' })
  await assert.rejects(endpoints(['-c', '/nonexistent']), { code: 'not_found' })
})
