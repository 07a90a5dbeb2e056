import type { Mounts, Paths, Processes } from '@coracle/host'
import type { RegistriesConfig } from './registry/endpoints.ts'
import { acceptingPolicies, type SignaturePolicies } from './trust/load-policies.ts'
import type { ExtractLimits } from './unpack/extract.ts'

export interface ImagesOptions {
  /** What survives a reboot: the index, layers, and writable layers unless they have a place of their own. One file system. */
  readonly root: string
  /** For writable layers, on a disk of their own. Default: `root`. */
  readonly containersRoot?: string
  /** Roots of read-only stores in our own layout whose images are used where they lie. */
  readonly additionalStores?: readonly string[]
  /** What does not: mount points. */
  readonly state: string
  readonly registries?: RegistriesConfig
  /** Default 3. */
  readonly maxDownloadsPerImage?: number
  /** Default 16. */
  readonly maxDownloads?: number
  /** For one large layer, when one connection is slow. Default 4. */
  readonly connectionsPerLayer?: number
  /** An interrupted download is kept for the next try when it has lasted this long. Default 3000. */
  readonly keptAfterMs?: number
  /** Processes that unpack. Default: one more than there are cores, at most 8. */
  readonly unpackWorkers?: number
  /** A pull ends on its own when nothing comes for this long. Default 60000. */
  readonly stallTimeoutMs?: number
  /** First pause before asking a registry again. Default 500. */
  readonly retryBaseMs?: number
  /** Images that are never collected: exact, `prefix*`, `*substring*`. */
  readonly pinned?: readonly string[]
  readonly limits?: Partial<ExtractLimits>
  /** What may enter the store. Default: everything. */
  readonly signaturePolicies?: SignaturePolicies
  /** Whether compressed layers are kept, so that an image can leave the store with its manifest's digest. Default: no. */
  readonly keepBlobs?: boolean
  /** Writable layers are not synced when they are unmounted: after a power loss they may be gone, as their containers are. Default true. */
  readonly volatileRootfs?: boolean
}

export type Settings = Required<Omit<ImagesOptions, 'limits'>> & { readonly limits: ExtractLimits }

/** The parts of the host that images need. */
export interface ImagesDeps {
  readonly mounts: Mounts
  readonly paths: Paths
  readonly processes: Processes
}

export function withDefaults(options: ImagesOptions, cores: number): Settings {
  return {
    registries: {},
    maxDownloadsPerImage: 3,
    maxDownloads: 16,
    connectionsPerLayer: 4,
    keptAfterMs: 3000,
    // One more than cores: few large layers seldom divide evenly among them.
    unpackWorkers: Math.min(8, cores + 1),
    stallTimeoutMs: 60_000,
    retryBaseMs: 500,
    pinned: [],
    volatileRootfs: true,
    keepBlobs: false,
    signaturePolicies: acceptingPolicies,
    containersRoot: options.root,
    additionalStores: [],
    ...options,
    limits: {
      maxEntries: 5_000_000,
      maxUnpackedBytes: 64 * 1024 ** 3,
      reserveBytes: 64 * 1024 ** 2,
      ...options.limits,
    },
  }
}
