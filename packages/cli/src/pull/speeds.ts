import type { PullProgress } from '@coracle/cri-api/progress'

const WINDOW_MS = 3000

type Sample = { readonly atMs: number; readonly bytes: ReadonlyMap<string, number> }

/** Bytes per second of each layer and of all, over the last three seconds. */
export class Speeds {
  #samples: Sample[] = []

  note(progress: PullProgress, atMs: number): void {
    this.#samples.push({
      atMs,
      bytes: new Map(progress.layers.map(({ digest, downloadedBytes }) => [digest, Number(downloadedBytes)])),
    })
    this.#samples = this.#samples.filter((sample, index) => index === this.#samples.length - 1 || atMs - sample.atMs <= WINDOW_MS)
  }

  /** Of one layer, or of all when no digest is given; 0 while unknown. */
  bytesPerSecond(digest?: string): number {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (!first || !last || last.atMs <= first.atMs) return 0
    const gained = bytesOf(last, digest) - bytesOf(first, digest)
    return Math.max(0, (gained * 1000) / (last.atMs - first.atMs))
  }
}

function bytesOf(sample: Sample, digest: string | undefined): number {
  if (digest !== undefined) return sample.bytes.get(digest) ?? 0
  return [...sample.bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
}
