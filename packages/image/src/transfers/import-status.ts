// How far an import is: told by what its client has sent, then by what is made of it.
import type { Digest } from '@coracle/oci-spec/digest'
import type { LayerProgress, PullStatus } from '../images.ts'
import { PullUnderWay } from '../pulls-under-way.ts'

export interface ImportDescription {
  /** What lists call it. */
  readonly name: string
  /** Who brings it. */
  readonly waiter: string
  /** In the manifest's order. */
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[]
}

export class ImportStatus {
  readonly #pull: PullUnderWay
  #layers: readonly LayerProgress[]

  constructor({ name, waiter, blobs }: ImportDescription) {
    this.#pull = new PullUnderWay(name)
    this.#pull.wait(waiter)
    this.#pull.phase = 'layers'
    this.#layers = blobs.map(({ digest, size }) => ({ digest, state: 'waiting', downloadedBytes: 0, totalBytes: size }))
    this.#pull.note(this.#layers)
  }

  /** The client need not send it. */
  present(digest: Digest): void {
    this.#change(digest, ({ totalBytes }) => ({ state: 'present', downloadedBytes: totalBytes }))
  }

  /** So much of it is here. */
  came(digest: Digest, bytes: number): void {
    this.#change(digest, () => ({ state: 'downloading', downloadedBytes: bytes }))
  }

  /** What an installation says of the same layers. All their bytes are here already, so that none is told as coming. */
  installed(layers: readonly LayerProgress[]): void {
    this.#layers = layers.map((layer) => ({
      ...layer,
      state: layer.state === 'downloading' ? 'unpacking' : layer.state,
      downloadedBytes: layer.totalBytes,
    }))
    this.#pull.note(this.#layers)
  }

  recording(): void {
    this.#pull.phase = 'recording'
  }

  status(): PullStatus {
    return this.#pull.status()
  }

  #change(digest: Digest, change: (layer: LayerProgress) => Pick<LayerProgress, 'state' | 'downloadedBytes'>): void {
    this.#layers = this.#layers.map((layer) => (layer.digest === digest ? { ...layer, ...change(layer) } : layer))
    this.#pull.note(this.#layers)
  }
}
