// Credential helpers of whoever calls the command line: asked by every command that goes to a registry by itself.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { after, before, beforeEach, describe, it } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type Output, run } from '@coracle/testkit/program'
import { type Registry, startRegistry } from '@coracle/testkit/registry'
import { coraclePath, MovingWorld } from './moving-world.ts'

// Of the password s3cret.
const htpasswd = 'me:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n'

describe('credential helpers of the command line', needsRoot(), () => {
  let world: MovingWorld
  let registry: Registry
  before(async () => {
    world = await MovingWorld.open()
    registry = await startRegistry({ htpasswd })
    mkdirSync(world.path('bin'))
  })
  after(async () => {
    await registry?.[Symbol.asyncDispose]()
    await world?.[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    for (const name of ['asked', 'docker', 'auth.json']) rmSync(world.path(name), { recursive: true, force: true })
    helper('kept', `echo '{"ServerURL":"x","Username":"me","Secret":"s3cret"}'`)
  })

  /** A program docker-credential-NAME that writes down what it is asked. */
  function helper(name: string, script: string): void {
    const path = world.path(`bin/docker-credential-${name}`)
    writeFileSync(path, `#!/bin/sh\n{ echo "$1"; cat; echo; echo "$WORD"; } >>${world.path('asked')}\n${script}\n`)
    chmodSync(path, 0o755)
  }
  const dockerConfig = (config: unknown) => {
    mkdirSync(world.path('docker'), { recursive: true })
    writeFileSync(world.path('docker/config.json'), JSON.stringify(config))
  }
  const coracle = (...args: readonly string[]): Promise<Output> => {
    const settings = [`PATH=${world.path('bin')}:/usr/bin:/bin`, `DOCKER_CONFIG=${world.path('docker')}`, 'WORD=of-the-caller']
    const files = existsSync(world.path('auth.json')) ? [`REGISTRY_AUTH_FILE=${world.path('auth.json')}`] : []
    return run(['/usr/bin/env', ...settings, ...files, coraclePath, ...args], 60_000)
  }
  const ok = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await coracle(...args)
    assert.equal(exitCode, 0, stderr)
    return stdout.trim()
  }
  const asked = () => readFileSync(world.path('asked'), 'utf8')

  it('credHelpers of docker: copy writes and reads, inspect --remote and list-tags read', async () => {
    dockerConfig({ credHelpers: { [registry.host]: 'kept' } })
    const there = `docker://${registry.host}/kept/entry:1`
    const digest = await ok('copy', '-q', `docker://${world.images.entry}`, there)
    assert.equal(asked(), `get\n${registry.host}\nof-the-caller\n`)
    assert.equal(await ok('copy', '-q', there, `oci:${world.path('read')}`), digest)
    assert.match(await ok('inspect', '--remote', there), new RegExp(digest))
    assert.equal(await ok('list-tags', `${registry.host}/kept/entry`), '1')
  })

  it('credsStore of docker is asked for hosts that nothing else knows; credHelpers of auth.json too', async () => {
    await ok('copy', '-q', '--dest-creds', 'me:s3cret', `docker://${world.images.bare}`, `docker://${registry.host}/store/bare:1`)
    dockerConfig({ credsStore: 'kept' })
    assert.equal(await ok('list-tags', `${registry.host}/store/bare`), '1')
    writeFileSync(world.path('auth.json'), JSON.stringify({ credHelpers: { [registry.host]: 'kept' } }))
    dockerConfig({})
    assert.equal(await ok('list-tags', `${registry.host}/store/bare`), '1')
    assert.equal(asked().match(/^get$/gm)?.length, 2)
  })

  it('credentials of the command line win: no helper is run', async () => {
    dockerConfig({ credHelpers: { [registry.host]: 'kept' } })
    const there = `docker://${registry.host}/won/bare:1`
    await ok('copy', '-q', '--dest-creds', 'me:s3cret', `docker://${world.images.bare}`, there)
    assert.equal(await ok('list-tags', '--creds', 'me:s3cret', `${registry.host}/won/bare`), '1')
    assert.ok(!existsSync(world.path('asked')))
  })

  it('a helper that fails, or is not there, is named; what it printed is not shown', async () => {
    dockerConfig({ credHelpers: { [registry.host]: 'kept' } })
    helper('kept', 'echo "half a s3cret"; echo "the keyring is locked" >&2; exit 3')
    const failed = await coracle('list-tags', `${registry.host}/kept/entry`)
    assert.notEqual(failed.exitCode, 0)
    assert.match(failed.stderr, /docker-credential-kept .*ends with exit code 3: the keyring is locked/)
    assert.doesNotMatch(failed.stderr + failed.stdout, /s3cret/)
    dockerConfig({ credHelpers: { [registry.host]: 'absent' } })
    const absent = await coracle('copy', `docker://${world.images.bare}`, `docker://${registry.host}/kept/bare:1`)
    assert.notEqual(absent.exitCode, 0)
    assert.match(absent.stderr, /docker-credential-absent is in none of /)
  })
})
