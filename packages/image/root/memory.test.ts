// What a worker needs does not depend on what a layer unpacks to.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { needsRoot } from '@coracle/testkit/needs-root'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld } from './images-world.ts'

const contentBytes = 400 * 1024 * 1024
const mostBytes = 256 * 1024 * 1024

/** The most that the process ever had resident; 0 when it is gone. */
function peakBytes(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

test('C-01 a layer of a thousandth of its content needs no more memory than others', needsRoot(), async () => {
  await using world = await createImagesWorld()
  const tar = rawTar({ name: 'zeros', body: Buffer.alloc(contentBytes) })
  const blobs = { gzip: gzipSync(tar, { level: 9 }), zstd: zstdCompressSync(tar) }
  for (const [name, blob] of Object.entries(blobs)) {
    assert.ok(blob.length < contentBytes / 500)
    world.registry.addImage(name, '1', [{ tar, blob, mediaType: `application/vnd.oci.image.layer.v1.tar+${name}` }])
    const image = await world.pull(`${name}:1`, { signal: AbortSignal.timeout(240_000) })
    const peaks = world.workers.map(peakBytes)
    assert.ok(peaks.some((peak) => peak > 0))
    for (const peak of peaks) assert.ok(peak < mostBytes, `${name}: a worker had ${peak} bytes`)
    await world.images.remove(image.id)
  }
})
