// Coracle's own addition beside the CRI: following a pull.
import type { Progress as ProgressService } from '@coracle/cri-api/progress'
import { LayerState } from '@coracle/cri-api/progress'
import type { LayerProgress, PullProgress } from '@coracle/image'
import type { Progress } from './deps.ts'
import type { Handlers } from './service.ts'

/** How long a watcher waits for the pull to begin, and how often it is told. */
const beginMs = 3000
const intervalMs = 200

interface Pull {
  latest: PullProgress
  finished: boolean
}

export function createProgress(): Progress {
  const pulls = new Map<string, Pull>()
  return {
    report: (image, progress) => {
      const pull = pulls.get(image)
      if (pull === undefined) pulls.set(image, { latest: progress, finished: false })
      else pull.latest = progress
    },
    done: (image) => {
      const pull = pulls.get(image)
      if (pull !== undefined) pull.finished = true
      pulls.delete(image)
    },
    watch: (image, signal) => watch(pulls, image, signal),
  }
}

async function* watch(pulls: ReadonlyMap<string, Pull>, image: string, signal: AbortSignal): AsyncGenerator<PullProgress> {
  const until = performance.now() + beginMs
  while (!pulls.has(image) && performance.now() < until && !signal.aborted) await pause()
  const pull = pulls.get(image)
  if (pull === undefined) return
  let told: PullProgress | undefined
  while (!signal.aborted) {
    const over = pull.finished
    if (pull.latest !== told) {
      told = pull.latest
      yield told
    }
    if (over) return
    await pause()
  }
}

const pause = () => new Promise<void>((resolve) => setTimeout(resolve, intervalMs))

const states: Readonly<Record<LayerProgress['state'], LayerState>> = {
  waiting: LayerState.WAITING,
  downloading: LayerState.DOWNLOADING,
  unpacking: LayerState.UNPACKING,
  done: LayerState.DONE,
  present: LayerState.EXISTS,
}

export const layerOf = ({ digest, state, downloadedBytes, totalBytes }: LayerProgress) => ({
  digest,
  state: states[state],
  downloadedBytes: BigInt(downloadedBytes),
  totalBytes: BigInt(totalBytes),
})

export const progressRoutes = (progress: Progress): Handlers<typeof ProgressService> => ({
  pullProgress: async function* ({ image }, { signal }) {
    for await (const { layers } of progress.watch(image, signal)) {
      yield {
        image,
        layers: layers.map(layerOf),
      }
    }
  },
})
