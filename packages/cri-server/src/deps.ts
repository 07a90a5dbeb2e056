import type { StageHistory } from '@coracle/base/stage-history'
import type { Host } from '@coracle/host'
import type { Images, ImageTransfers, PullProgress } from '@coracle/image'
import type { Events, Services, StatsReader } from '@coracle/lifecycle'
import type { RuntimeFeatures } from '@coracle/oci-runtime'
import type { Streaming } from '@coracle/streaming'

/** What the RPC handlers need. */
export interface RouteDeps {
  readonly services: Services
  readonly stats: StatsReader
  readonly events: Events
  readonly images: Images
  readonly transfers: ImageTransfers
  readonly host: Pick<Host, 'paths'>
  readonly name: string
  readonly version: string
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  /** Asked once at the start, by handler. */
  readonly features: () => ReadonlyMap<string, RuntimeFeatures>
  /** The effective configuration as JSON, for verbose status. */
  readonly config: () => string
  readonly progress: Progress
  /** What has ended lately and was slow or failed. */
  readonly history: Pick<StageHistory, 'past'>
  readonly streaming: Streaming
}

/** The pulls in flight, for those who watch. */
export interface Progress {
  report(image: string, progress: PullProgress): void
  done(image: string): void
  watch(image: string, signal: AbortSignal): AsyncIterable<PullProgress>
}
