import type { HeldPath } from '@coracle/host'

/** The opened sources of one container's mounts, by path, held from the first look at them until the runtime has mounted them. */
export class HeldSources implements Disposable {
  readonly #places = new Map<string, HeldPath>()
  #closed = false

  /** For a look that ends after the creation has failed: closes it at once. */
  add(place: HeldPath): void {
    if (this.#closed || this.#places.has(place.path)) place[Symbol.dispose]()
    else this.#places.set(place.path, place)
  }

  get(path: string): HeldPath | undefined {
    return this.#places.get(path)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    for (const place of this.#places.values()) place[Symbol.dispose]()
    this.#places.clear()
  }
}
