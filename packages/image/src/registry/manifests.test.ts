import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf, explain } from '@coracle/base/errors'
import { parseReference } from '@coracle/oci-spec/reference'
import { type FaultRegistry, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createRegistryClient, type RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'
import { resolveManifest } from './manifests.ts'

const types = { manifest: 'application/vnd.oci.image.manifest.v1+json', index: 'application/vnd.oci.image.index.v1+json' }
const platform = { os: 'linux', architecture: 'amd64' }

describe('resolveManifest()', () => {
  let registry: FaultRegistry
  let client: RegistryClient
  let body: Buffer
  let digest: string
  beforeEach(async () => {
    registry = await startFaultRegistry()
    client = createRegistryClient({
      endpoints: [{ baseUrl: `${registry.url}/v2`, host: registry.host, insecure: true, isOrigin: true }],
      repository: 'r',
      registries: {},
      stallTimeoutMs: 1000,
      retryBaseMs: 5,
    })
    digest = registry.addImage('r', '1', [{ tar: rawTar({ name: 'f' }) }]).manifest
    body = Buffer.from(await (await fetch(`${registry.url}/v2/r/manifests/1`)).arrayBuffer())
    registry.requests.length = 0
  })
  afterEach(async () => {
    client.close()
    await registry[Symbol.asyncDispose]()
  })
  const resolve = (name = 'r:1') =>
    resolveManifest(
      client,
      { reference: parseReference(`${registry.host}/${name}`), platform },
      { signal: AbortSignal.timeout(10_000), stallMs: 1000 },
    )
  const refuses = (work: Promise<unknown>, message: RegExp) =>
    assert.rejects(work, (err) => {
      assert.match(explain(err), message)
      return true
    })
  const answer = (headers: Record<string, string>, bytes: Buffer | string) =>
    registry.fault((_request, response) => {
      response.writeHead(200, headers).end(bytes)
      return true
    })
  const entry = (of: string, size: number, more: object = {}) => ({
    mediaType: types.manifest,
    digest: of,
    size,
    platform,
    ...more,
  })
  const addIndex = (reference: string, ...manifests: object[]) =>
    registry.addManifest('r', reference, {
      mediaType: types.index,
      body: JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests }),
    })

  test('M-01 M-04 entries that do not say for which platform they are stand in nobody’s way; an index of none', async () => {
    const rest = { platform: { architecture: 'amd64' } }
    addIndex('part', entry(digest, body.length, { platform: {} }), entry(digest, body.length, rest), entry(digest, body.length))
    assert.equal((await resolve('r:part')).manifestDigest, digest)
    addIndex('only', entry(digest, body.length, { platform: {} }))
    await refuses(resolve('r:only'), /no image for platform linux\/amd64: the index offers "unnamed"/)
    addIndex('none')
    await refuses(resolve('r:none'), /no image for platform linux\/amd64: the index offers none at all/)
  })

  test('by tag and by digest', async () => {
    assert.equal((await resolve()).topDigest, digest)
    assert.equal((await resolve(`r@${digest}`)).manifestDigest, digest)
    assert.equal((await resolve(`r:other@${digest}`)).manifestDigest, digest)
    assert.match(registry.requests[0]?.headers.accept ?? '', /oci\.image\.index.*docker\.distribution\.manifest\.v2/)
  })

  test('R-03 a redirect, the digest still checked', async () => {
    registry.addManifest('r', '2', { mediaType: types.manifest, body: `${body} ` })
    const remove = registry.fault((request, response) => {
      if (!request.url?.includes(digest)) return false
      response.writeHead(307, { location: '/v2/r/manifests/2' }).end()
      return true
    })
    await refuses(resolve(`r@${digest}`), /digest/)
    remove()
  })

  test('R-13 a missing digest header is fine, a wrong one is not', async () => {
    const remove = answer({ 'content-type': types.manifest }, body)
    assert.equal((await resolve()).topDigest, digest)
    remove()
    answer({ 'content-type': types.manifest, 'docker-content-digest': sha256('other') }, body)
    await refuses(resolve(), /bytes have/)
  })

  test('R-15 one platform of an index is asked for by digest', async () => {
    const top = addIndex(
      'multi',
      entry(sha256('x'), 1, { platform: { os: 'windows', architecture: 'amd64' } }),
      entry(digest, body.length),
    )
    const resolved = await resolve('r:multi')
    assert.deepEqual([resolved.topDigest, resolved.manifestDigest], [top, digest])
    assert.ok(registry.requests.at(-1)?.url.endsWith(digest))
    addIndex('size', entry(digest, body.length + 1))
    await refuses(resolve('r:size'), /bytes/)
    addIndex('type', entry(digest, body.length, { mediaType: types.index }))
    assert.equal((await resolve('r:type')).manifestDigest, digest)
  })

  test('M-03 CVE-2026-53493: an index in an index, not deeper', async () => {
    let inner = { of: digest, size: body.length }
    for (const name of ['one', 'two', 'three']) {
      const manifests = [entry(inner.of, inner.size)]
      const text = JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests })
      inner = { of: addIndex(name, ...manifests), size: text.length }
    }
    assert.equal((await resolve('r:two')).manifestDigest, digest)
    await refuses(resolve('r:three'), /deeper/)
  })

  test('R-16 a type that contradicts', async () => {
    answer({ 'content-type': types.index }, body)
    await refuses(resolve(), /contradicts/)
  })

  test('R-21 a manifest in gzip is read within its limit', async () => {
    const remove = answer({ 'content-type': types.manifest, 'content-encoding': 'gzip' }, gzipSync(body))
    assert.equal((await resolve()).topDigest, digest)
    remove()
    const bomb = answer({ 'content-type': types.manifest, 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(50_000_000)))
    await refuses(resolve(), /too large/)
    bomb()
    answer({ 'content-encoding': 'gzip, gzip, gzip' }, body)
    await refuses(resolve(), /Content-Encoding/)
  })

  test('R-24 a captive portal', async () => {
    answer({ 'content-type': 'text/html' }, `<html>${'\x1b[31m'.repeat(100)}pay here</html>`)
    await assert.rejects(
      resolve(),
      (err) =>
        err instanceof RegistryError && /page/.test(err.message) && !err.message.includes('\x1b') && err.message.length < 900,
    )
  })

  test('R-24 a mirror that answers with something else is passed over', async () => {
    await using mirror = await startFaultRegistry()
    const endpoints = [mirror, registry].map(({ url, host }) => ({ baseUrl: `${url}/v2`, host, insecure: true, isOrigin: false }))
    client.close()
    client = createRegistryClient({ endpoints, repository: 'r', registries: {}, stallTimeoutMs: 1000, retryBaseMs: 5 })
    for (const nonsense of ['', '{}', '{"error":"not cached"}', '[]', 'null']) {
      const remove = mirror.fault((_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(nonsense)
        return true
      })
      assert.equal((await resolve()).topDigest, digest, nonsense)
      remove()
    }
    registry.fault((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      return true
    })
    await refuses(
      resolve(),
      /404.*; 127\.0\.0\.1:\d+ answers with something else than a manifest: manifest\.schemaVersion must be 2/,
    )
  })

  test('an endless manifest', async () => {
    registry.fault((_request, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
      }
      response.on('drain', more)
      more()
      return true
    })
    await refuses(resolve(), /more than 4194304/)
  })

  test('absent', async () => {
    await assert.rejects(resolve('r:none'), (err) => codeOf(err) === 'not_found' && /404: MANIFEST_UNKNOWN/.test(explain(err)))
  })
})
