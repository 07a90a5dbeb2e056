// The pulls under way, for those who ask how far they are.
import type { LayerProgress, PullStatus } from './images.ts'

// Speed is that of the last seconds; of a pull just begun it says nothing yet.
const windowMs = 5000
const minSpanMs = 250

interface Sample {
  readonly atMs: number
  readonly bytes: number
}

/** One pull. Written by the pull, read by whoever asks. */
export class PullUnderWay {
  readonly #image: string
  readonly #startedAtMs = Date.now()
  readonly #waiters: string[] = []
  #samples: Sample[] = []
  #layers: readonly LayerProgress[] = []
  phase: PullStatus['phase'] = 'resolving'

  constructor(image: string) {
    this.#image = image
  }

  get isAbandoned(): boolean {
    return this.#waiters.length === 0
  }

  wait(name: string): Disposable {
    this.#waiters.push(name)
    return { [Symbol.dispose]: () => void this.#waiters.splice(this.#waiters.indexOf(name), 1) }
  }

  note(layers: readonly LayerProgress[], nowMs = performance.now()): void {
    this.#layers = layers
    const { bytes } = sumOf(layers)
    const last = this.#samples.at(-1)
    if (last?.atMs === nowMs) this.#samples.pop()
    this.#samples.push({ atMs: nowMs, bytes })
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? 0) < nowMs - windowMs) this.#samples.shift()
  }

  status(nowMs = performance.now()): PullStatus {
    const { bytes, total } = sumOf(this.#layers)
    const bytesPerSecond = this.#speed(nowMs)
    return {
      image: this.#image,
      startedAtMs: this.#startedAtMs,
      phase: this.phase,
      layers: this.#layers,
      downloadedBytes: bytes,
      totalBytes: total,
      bytesPerSecond,
      ...(bytesPerSecond > 0 && bytes < total ? { etaMs: Math.round(((total - bytes) * 1000) / bytesPerSecond) } : {}),
      waiters: [...this.#waiters].sort(),
    }
  }

  // Up to now, not to the last sample: what stands still gets slower.
  #speed(nowMs: number): number {
    const first = this.#samples.find(({ atMs }) => atMs >= nowMs - windowMs) ?? this.#samples.at(-1)
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || nowMs - first.atMs < minSpanMs) return 0
    return Math.max(0, Math.round(((last.bytes - first.bytes) * 1000) / (nowMs - first.atMs)))
  }
}

// What was here before is no part of the way.
function sumOf(layers: readonly LayerProgress[]): { bytes: number; total: number } {
  let [bytes, total] = [0, 0]
  for (const { state, downloadedBytes, totalBytes } of layers) {
    if (state === 'present') continue
    bytes += state === 'done' ? totalBytes : downloadedBytes
    total += totalBytes
  }
  return { bytes, total }
}
