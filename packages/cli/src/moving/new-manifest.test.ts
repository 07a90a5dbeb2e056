import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rawDocument } from '@coracle/image/moving'
import { mediaTypes } from '@coracle/oci-spec/media-type'
import { inOciTypes } from './new-manifest.ts'

const blob = (mediaType: string) => ({ mediaType, digest: `sha256:${'0'.repeat(64)}`, size: 1 })

test('Docker’s manifest gets the media types of OCI and keeps its blobs; one of OCI is left alone', () => {
  const layers = ['diff.tar.gzip', 'diff.tar', 'diff.tar.zstd', 'foreign.diff.tar.gzip'].map((type) =>
    blob(`application/vnd.docker.image.rootfs.${type}`),
  )
  const docker = { schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config: blob(mediaTypes.dockerConfig), layers }
  const converted = inOciTypes(rawDocument(Buffer.from(JSON.stringify(docker)), undefined))
  assert.equal(converted.mediaType, mediaTypes.ociManifest)
  assert.deepEqual(JSON.parse(converted.bytes.toString()), {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: blob(mediaTypes.ociConfig),
    layers: ['v1.tar+gzip', 'v1.tar', 'v1.tar+zstd', 'nondistributable.v1.tar+gzip'].map((type) =>
      blob(`application/vnd.oci.image.layer.${type}`),
    ),
  })
  assert.equal(inOciTypes(converted), converted)
})
