import { dirname } from 'node:path'
import { monotonicMs, nowNs } from '@coracle/base/clock'
import { explain } from '@coracle/base/errors'
import type { ContainerId } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { stage } from '@coracle/base/stages'
import type { Services } from '../services.ts'

const log = logger('lifecycle')

/** What is older is counted anew; with a kubelet's questions every ten seconds nothing told is older than a minute. */
const freshMs = 45_000
/** Trees of one count. */
const batchSize = 200

export interface LayerUse {
  readonly usedBytes: bigint
  readonly inodes: bigint
  readonly countedAtNs: bigint
}

interface Counted extends LayerUse {
  /** By the clock that never jumps. */
  readonly countedAtMs: number
}

type Needs = Pick<Services, 'images' | 'host' | 'shutdown'>

/** Sizes of writable layers. A question is answered from memory and at most starts a count in the background. */
export class LayerUsage {
  readonly #services: Needs
  readonly #latest = new Map<ContainerId, Counted>()
  readonly #wanted = new Set<ContainerId>()
  #counting = false

  constructor(services: Needs) {
    this.#services = services
  }

  /** Undefined until it has been counted for the first time. */
  latest(id: ContainerId): LayerUse | undefined {
    const use = this.#latest.get(id)
    if (use === undefined || monotonicMs() - use.countedAtMs > freshMs) this.#want(id)
    return use
  }

  /** A directory on the file system of all writable layers, the one that ImageFsInfo names. */
  fileSystem(id: ContainerId): string {
    // The layer is two levels below: by key, and beside the overlay's work directory.
    return dirname(dirname(this.#services.images.writableLayer(id)))
  }

  prune(exists: (id: ContainerId) => boolean): void {
    for (const id of this.#latest.keys()) if (!exists(id)) this.#latest.delete(id)
  }

  #want(id: ContainerId): void {
    this.#wanted.add(id)
    if (this.#counting) return
    this.#counting = true
    void this.#count().finally(() => {
      this.#counting = false
    })
  }

  async #count(): Promise<void> {
    // A list asks for all of its containers before they are counted together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#wanted.size > 0 && !this.#services.shutdown.aborted) {
      const batch = [...this.#wanted].slice(0, batchSize)
      const paths = new Map(batch.map((id) => [this.#services.images.writableLayer(id), id]))
      try {
        const { host, shutdown } = this.#services
        const what = ['disk usage', 'writable layers'] as const
        const found = await stage(what, () => host.paths.diskUsages([...paths.keys()], shutdown))
        const at = { countedAtMs: monotonicMs(), countedAtNs: nowNs() }
        for (const [path, id] of paths) {
          const use = found.get(path)
          if (use !== undefined) this.#latest.set(id, { ...use, ...at })
        }
      } catch (err) {
        log.warn('counting writable layers failed', { layers: batch.length, error: explain(err) })
        this.#wanted.clear()
      }
      for (const id of batch) this.#wanted.delete(id)
    }
  }
}
