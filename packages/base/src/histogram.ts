// Counts of values by size, as Prometheus wants them.

export interface HistogramValues {
  /** Values of at most the bound of the same place, each with those before. */
  readonly withinBucket: readonly number[]
  readonly count: number
  readonly sum: number
}

export class Histogram implements HistogramValues {
  readonly #bounds: readonly number[]
  readonly withinBucket: number[]
  count = 0
  sum = 0

  /** `bounds` in rising order, shared by all histograms of a metric. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.withinBucket = bounds.map(() => 0)
  }

  add(value: number): void {
    this.count++
    this.sum += value
    for (let index = this.#bounds.length - 1; index >= 0 && value <= (this.#bounds[index] ?? 0); index--) {
      this.withinBucket[index] = (this.withinBucket[index] ?? 0) + 1
    }
  }
}

/** The entry of `key`, made when it is not there yet. */
export function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let entry = map.get(key)
  if (entry === undefined) {
    entry = make()
    map.set(key, entry)
  }
  return entry
}
