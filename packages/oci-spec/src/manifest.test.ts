import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CodedError, codeOf, type ErrorCode } from '@coracle/base/errors'
import { digestOf } from './digest.ts'
import { maxManifestBytes, parseManifest } from './manifest.ts'
import { mediaTypes } from './media-type.ts'

const digest = digestOf('x')
const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 }
const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 3 }
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] }
const index = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [{ mediaType: mediaTypes.ociManifest, digest, size: 1 }],
}

const parse = (document: unknown, type?: string) =>
  parseManifest(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)), type)
const refuses = (document: unknown, type?: string, code: ErrorCode = 'invalid_argument', message?: RegExp) =>
  assert.throws(
    () => parse(document, type),
    (err) => err instanceof CodedError && codeOf(err) === code && (message?.test(err.message) ?? true),
  )

describe('manifests', () => {
  test('a manifest and an index of OCI and Docker', () => {
    assert.deepEqual(parse(manifest, mediaTypes.ociManifest), {
      kind: 'manifest',
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [layer],
    })
    assert.equal(parse(index, mediaTypes.ociIndex).kind, 'index')
    const docker = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { ...config, mediaType: mediaTypes.dockerConfig },
      layers: [{ ...layer, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }],
    }
    assert.equal(parse(docker, mediaTypes.dockerManifest).mediaType, mediaTypes.dockerManifest)
    assert.equal(parse({ ...index, mediaType: mediaTypes.dockerIndex }, mediaTypes.dockerIndex).kind, 'index')
  })

  test('R-16 only the bare media type counts; a missing one is found in the body', () => {
    assert.equal(parse(manifest, 'Application/vnd.OCI.image.manifest.v1+json; charset=utf-8').kind, 'manifest')
    assert.equal(parse(manifest).kind, 'manifest')
    assert.equal(parse(manifest, 'application/json').kind, 'manifest')
    const { mediaType: _type, ...silent } = manifest
    assert.equal(parse(silent, 'text/plain').kind, 'manifest')
    refuses(manifest, mediaTypes.ociIndex)
    refuses(manifest, mediaTypes.dockerManifest)
    refuses(manifest, 'text/html')
    refuses({ ...manifest, mediaType: 'application/x' })
  })

  test('CVE-2021-41190: a document is one thing', () => {
    refuses({ ...manifest, manifests: [] })
    refuses({ ...index, layers: [] })
    refuses({ ...index, config })
    refuses({ ...index, mediaType: mediaTypes.ociManifest })
    refuses({ ...manifest, mediaType: mediaTypes.ociIndex })
  })

  test('M-03 an index of too many entries', () => refuses({ ...index, manifests: Array(257).fill(index.manifests[0]) }))

  test('M-05 an artifact, M-06 schema 1, M-08 encryption, EROFS and other file system images', () => {
    refuses(
      { ...manifest, artifactType: 'application/x', config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' } },
      undefined,
      'unimplemented',
      /artifact/,
    )
    refuses({ schemaVersion: 1, name: 'x' }, undefined, 'unimplemented', /schema 1/)
    refuses({ schemaVersion: 1 }, 'application/vnd.docker.distribution.manifest.v1+prettyjws', 'unimplemented', /schema 1/)
    refuses(
      { ...manifest, layers: [{ ...layer, mediaType: `${layer.mediaType}+encrypted` }] },
      undefined,
      'unimplemented',
      /encrypted/,
    )
    for (const mediaType of ['application/vnd.erofs', 'application/vnd.erofs.layer.v1', 'application/vnd.squashfs.layer.v1'])
      refuses({ ...manifest, layers: [{ ...layer, mediaType }] }, undefined, 'unimplemented')
  })

  test('R-16 a type that says nothing leaves it to the document', () => {
    for (const type of ['application/octet-stream', 'binary/octet-stream', 'application/json; charset=utf-8'])
      assert.equal(parse(manifest, type).kind, 'manifest', type)
    refuses(manifest, 'text/html')
  })

  test('M-05 an image that says what it is for is an image', () =>
    assert.equal(parse({ ...manifest, artifactType: 'application/x' }).kind, 'manifest'))

  test('M-07 CVE-2020-15157: a foreign layer is read without its urls', () => {
    const foreign = { ...layer, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', urls: ['http://evil/'] }
    assert.doesNotMatch(JSON.stringify(parse({ ...manifest, layers: [foreign] })), /evil/)
  })

  test('M-09 content in the manifest itself is not believed: it is downloaded', () => {
    const { layers } = parse({ ...manifest, layers: [{ ...layer, data: Buffer.from('abc').toString('base64') }] }) as {
      readonly layers: readonly object[]
    }
    assert.deepEqual(layers, [layer])
  })

  test('M-10 keys twice, byte order mark, comments, nonsense', () => {
    const text = JSON.stringify(manifest)
    refuses(text.replace('{', '{"layers":[],'))
    refuses(text.replace('{', '{"l\\u0061yers":[],'))
    refuses(text.replace('"size":3', '"size":3,"size":4'))
    refuses(`\ufeff${text}`)
    refuses(`/* x */${text}`)
    for (const document of ['null', '[]', '"x"', '1', '{}', '', 'NaN', '{"a":1e400}', '[['.repeat(100_000)]) refuses(document)
    assert.equal(parse(text.replace('{', '{"x":1,"x":2,"__proto__":{"layers":1},')).kind, 'manifest')
    refuses(' '.repeat(maxManifestBytes + 1))
  })

  test('C-06 C-09 descriptors', () => {
    for (const size of ['3', 3.5, -1, 2 ** 63, null, undefined]) refuses({ ...manifest, layers: [{ ...layer, size }] })
    for (const bad of [
      '',
      'sha256:abc',
      digest.toUpperCase(),
      `md5:${'0'.repeat(32)}`,
      `blake3:${'0'.repeat(64)}`,
      `sha256:../../${'0'.repeat(58)}`,
    ])
      refuses({ ...manifest, config: { ...config, digest: bad } }, undefined, 'invalid_argument', /manifest\.config\.digest/)
    assert.equal(parse({ ...manifest, config: { ...config, digest: `sha512:${'0'.repeat(128)}` } }).kind, 'manifest')
    refuses({ ...manifest, layers: Array(257).fill(layer) })
    refuses({ ...manifest, config: null })
    refuses({ ...manifest, layers: {} })
  })
})
