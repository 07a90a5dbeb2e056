// A store of its own with a registry that does what a test says; at its end nothing may be left mounted or running.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHost, type Host } from '@coracle/host'
import { parseReference } from '@coracle/oci-spec/reference'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { Credentials, Image } from '../src/images.ts'
import { createImages, type ImagesOptions, type ReloadableImages } from '../src/mod.ts'

export interface ImagesWorld extends AsyncDisposable {
  readonly directory: string
  readonly registry: FaultRegistry
  readonly host: Host
  readonly images: ReloadableImages
  /** Pids of the unpack workers started so far. */
  readonly workers: number[]
  /** `name` without the registry. */
  pull(name: string, options?: { signal?: AbortSignal; credentials?: Credentials }): Promise<Image>
  ref(name: string): string
  /** Closes the store, or (with no pull in flight) leaves it as a kill would, and opens it again. */
  reopen(how?: 'close' | 'crash'): Promise<void>
}

export const soon = (): AbortSignal => AbortSignal.timeout(20_000)

export async function createImagesWorld(
  options: Partial<ImagesOptions> = {},
  directory = makeOwnDirectory('coracle-images-'),
): Promise<ImagesWorld> {
  const registry = await startFaultRegistry()
  const host = createHost()
  const workers: number[] = []
  const processes: Host['processes'] = {
    ...host.processes,
    async start(request) {
      const child = await host.processes.start(request)
      workers.push(child.pid)
      return child
    },
  }
  const open = () =>
    createImages(
      {
        root: join(directory, 'root'),
        state: join(directory, 'state'),
        stallTimeoutMs: 2000,
        retryBaseMs: 10,
        limits: { reserveBytes: 0 },
        ...options,
      },
      { mounts: host.mounts, paths: host.paths, processes },
    )
  let images = await open().catch(async (err) => {
    await registry[Symbol.asyncDispose]()
    throw err
  })
  await images.recover(soon())
  const abandoned: ReloadableImages[] = []
  const ref = (name: string) => `${registry.host}/${name}`
  return {
    directory,
    registry,
    host,
    workers,
    get images() {
      return images
    },
    ref,
    pull: (name, { signal = soon(), credentials } = {}) =>
      images.pull({ reference: parseReference(ref(name)), ...(credentials ? { credentials } : {}) }, signal),
    async reopen(how = 'close') {
      if (how === 'close') await images.close()
      else {
        for (const pid of workers) kill(pid)
        abandoned.push(images)
      }
      images = await open()
      await images.recover(soon())
    },
    async [Symbol.asyncDispose]() {
      for (const key of images.rootfsKeys()) await images.removeRootfs(key)
      await images.close()
      for (const old of abandoned) await old.close()
      await registry[Symbol.asyncDispose]()
      assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`${directory}/state`))
      for (const pid of workers) assert.equal(host.processes.identify(pid), undefined, `worker ${pid} is left`)
      await host.paths.removeTree(directory)
    },
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}
