// Coracle's own addition beside the CRI: all pulls under way.
import type { MessageInitShape } from '@bufbuild/protobuf'
import { PullPhase, type PullSchema, type Pulls } from '@coracle/cri-api/pulls'
import type { PullStatus } from '@coracle/image'
import type { RouteDeps } from './deps.ts'
import { layerOf } from './progress.ts'
import type { Handlers } from './service.ts'

const intervalMs = 500

type PullInit = Extract<MessageInitShape<typeof PullSchema>, { $typeName?: never }>

const phases: Readonly<Record<PullStatus['phase'], PullPhase>> = {
  resolving: PullPhase.RESOLVING,
  layers: PullPhase.LAYERS,
  recording: PullPhase.RECORDING,
}

/** Watchers are sent away when `closing` aborts. */
export const pullsRoutes = (
  { images }: { readonly images: Pick<RouteDeps['images'], 'pulls'> },
  closing: AbortSignal,
): Handlers<typeof Pulls> => ({
  listPulls: () => ({ pulls: images.pulls().map(pullOf) }),
  watchPulls: async function* (_request, { signal }) {
    let told: string | undefined
    while (!signal.aborted && !closing.aborted) {
      const pulls = images.pulls()
      const now = JSON.stringify(pulls)
      if (now !== told) yield { pulls: pulls.map(pullOf) }
      told = now
      await new Promise<void>((resolve) => setTimeout(resolve, intervalMs))
    }
  },
})

const pullOf = (pull: PullStatus): PullInit => ({
  image: pull.image,
  startedAt: BigInt(pull.startedAtMs) * 1_000_000n,
  phase: phases[pull.phase],
  layers: pull.layers.map(layerOf),
  downloadedBytes: BigInt(pull.downloadedBytes),
  totalBytes: BigInt(pull.totalBytes),
  bytesPerSecond: BigInt(pull.bytesPerSecond),
  waiters: [...pull.waiters],
  ...(pull.etaMs === undefined ? {} : { etaMs: BigInt(pull.etaMs) }),
})
