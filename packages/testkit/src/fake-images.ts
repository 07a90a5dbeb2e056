// Images in memory, with root file systems that are plain directories. It outlives the services that use it, as a disk does.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { notFound } from '@coracle/base/errors'
import type { Image, Images } from '@coracle/image'
import type { ImageId } from '@coracle/oci-spec/digest'
import { parseReference } from '@coracle/oci-spec/reference'

export interface FakeImages extends Images {
  /** `createRootfs KEY`, in order. */
  readonly calls: readonly string[]
  /** Keys of root file systems that are mounted. */
  readonly mounted: ReadonlySet<string>
  /** The next call with this name throws. */
  failNext(call: 'createRootfs' | 'unmountRootfs' | 'removeRootfs', error: Error): void
  /** As after a reboot: nothing is mounted. */
  reboot(): void
}

/** One image named `name`, there from the start; root file systems are made below `directory`. */
export function createFakeImages(directory: string, name: string): FakeImages {
  const calls: string[] = []
  const keys = new Set<string>()
  const mounted = new Set<string>()
  const failures = new Map<string, Error>()
  const image = fakeImage(name)
  const pathOf = (key: string) => join(directory, key)
  const enter = async (call: string, key: string) => {
    calls.push(`${call} ${key}`)
    await null
    const failure = failures.get(call)
    failures.delete(call)
    if (failure !== undefined) throw failure
  }
  const find = (wanted: string) => (wanted === name || wanted === image.id ? image : undefined)
  const usage = async () => ({ mountpoint: directory, usedBytes: 0n, inodesUsed: 0n })
  return {
    calls,
    mounted,
    failNext: (call, error) => failures.set(call, error),
    reboot: () => mounted.clear(),
    pull: async () => image,
    candidates: (wanted) => [parseReference(wanted)],
    explainPull: async () => [],
    pulls: () => [],
    list: () => [image],
    find,
    remove: async () => {},
    check: async () => ({ layers: 0, files: 0, bytesRead: 0, images: 1, unrecorded: 0, findings: 0, left: 0 }),
    setPinned: () => {},
    async createRootfs({ key, image: id }) {
      await enter('createRootfs', key)
      if (find(id) === undefined) throw notFound(`image ${id}`)
      keys.add(key)
      mounted.add(key)
      mkdirSync(pathOf(key), { recursive: true })
      return { path: pathOf(key) }
    },
    async unmountRootfs(key) {
      await enter('unmountRootfs', key)
      mounted.delete(key)
    },
    async removeRootfs(key) {
      await enter('removeRootfs', key)
      mounted.delete(key)
      keys.delete(key)
      rmSync(pathOf(key), { recursive: true, force: true })
    },
    writableLayer: pathOf,
    rootfsKeys: () => [...keys],
    fileSystems: { images: '/', containers: '/' },
    imageUsage: usage,
    containerUsage: usage,
    diskUsage: async () => ({ layers: [], containers: [], parts: [], totals: [] }),
    recover: async () => {},
    close: async () => {},
  }
}

function fakeImage(name: string): Image {
  return {
    // A digest by its shape; nothing is hashed.
    id: `sha256:${'1'.repeat(64)}` as ImageId,
    ...{ tags: [name], digests: [], sizeBytes: 1, pinned: false, readOnly: false, damage: undefined, rawConfig: '{}' },
    config: {
      platform: { os: 'linux', architecture: 'amd64' },
      ...{ user: '', env: [], entrypoint: [], cmd: ['/bin/true'], workingDir: '', stopSignal: '' },
      ...{ volumes: [], labels: new Map(), diffIds: [] },
    },
  }
}
