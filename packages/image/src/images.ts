// What the image room hands out: pulling, naming, and root file systems made of image layers.

import type { Digest, ImageId } from '@coracle/oci-spec/digest'
import type { ImageConfig, Platform } from '@coracle/oci-spec/image'
import type { Reference } from '@coracle/oci-spec/reference'
import type { StoreCheckOptions, StoreCheckSummary } from './check/findings.ts'
import type { StoreDiskUsage } from './disk-usage.ts'
import type { ExplainedReference, ExplainRequest } from './registry/explain.ts'

/** Credentials as they come with one request; never logged, never stored. */
export interface Credentials {
  readonly username?: string
  readonly password?: string
  /** OAuth2 refresh token. */
  readonly identityToken?: string
  /** Bearer token, sent as it is. */
  readonly registryToken?: string
}

export interface PullRequest {
  readonly reference: Reference
  readonly credentials?: Credentials
  readonly platform?: Platform
  readonly onProgress?: (progress: PullProgress) => void
  /** Who asks, for people who want to know what is under way: NAMESPACE/NAME of a pod, or what the caller says of itself. */
  readonly waiter?: string
  /** Of the pod it is pulled for: it may have a signature policy of its own. */
  readonly namespace?: string
}

export interface LayerProgress {
  readonly digest: Digest
  readonly state: 'waiting' | 'downloading' | 'unpacking' | 'done' | 'present'
  readonly downloadedBytes: number
  readonly totalBytes: number
}

export interface PullProgress {
  readonly image: string
  readonly layers: readonly LayerProgress[]
}

/** A pull that is under way. */
export interface PullStatus {
  readonly image: string
  readonly startedAtMs: number
  readonly phase: 'resolving' | 'layers' | 'recording'
  readonly layers: readonly LayerProgress[]
  /** Of the layers that were not here before. */
  readonly downloadedBytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number
  readonly etaMs?: number
  /** One entry for each caller. */
  readonly waiters: readonly string[]
}

/** A pulled image. Frozen; shared by all who ask. */
export interface Image {
  /** Digest of the config: `Image.id`, `PullImage.image_ref` and `ContainerStatus.image_id` of the CRI. */
  readonly id: ImageId
  /** `registry/repository:tag`, sorted. */
  readonly tags: readonly string[]
  /** `registry/repository@digest` of what was pulled (index or manifest), sorted. */
  readonly digests: readonly string[]
  /** Compressed layer bytes plus config. */
  readonly sizeBytes: number
  readonly pinned: boolean
  /** It lies in a read-only store: it cannot be removed. */
  readonly readOnly: boolean
  /** Why no container can be made from it until it is pulled again; undefined: it is whole. */
  readonly damage: string | undefined
  readonly config: ImageConfig
  /** The config blob as it came, for verbose output. */
  readonly rawConfig: string
}

export interface RootfsRequest {
  /** The container's id. */
  readonly key: string
  readonly image: ImageId
  /** SELinux label of all that is in it. */
  readonly mountLabel?: string
  /** For a pod with a user namespace: the files belong to its ids. What it writes has the host's ids on the disk. */
  readonly idmap?: {
    /** Pinned. */
    readonly usernsPath: string
    /** Who is root there, as ids of the host. */
    readonly rootUid: number
    readonly rootGid: number
  }
}

export interface Rootfs {
  /** Where it is mounted. */
  readonly path: string
}

/** kubelet takes two different paths for two disks. */
export interface FileSystems {
  readonly images: string
  readonly containers: string
}

export interface StoreUsage {
  /** A real directory on the file system: of `FileSystems`. */
  readonly mountpoint: string
  readonly usedBytes: bigint
  readonly inodesUsed: bigint
}

export interface Images {
  /**
   * Pulls and unpacks; the same pull asked twice runs once, and is cancelled only when the last waiter leaves.
   * Stops on its own after 60 s without progress. On failure nothing half-made can be seen or used.
   */
  pull(request: PullRequest, signal: AbortSignal): Promise<Image>
  /** What a name may mean, in the order to try: the operator may have aliases and search lists for names without a registry. Throws `invalid_argument`. */
  candidates(name: string): readonly Reference[]
  /** Where the image would come from, and what each place says now; nothing is downloaded. Throws `invalid_argument` for what is no name. */
  explainPull(request: ExplainRequest, signal: AbortSignal): Promise<readonly ExplainedReference[]>
  /** All pulls under way, the oldest first. */
  pulls(): readonly PullStatus[]
  list(): readonly Image[]
  /** By id (with or without `sha256:`), unambiguous id prefix of at least 3 digits, name:tag, name@digest, short name. Throws on an ambiguous prefix. */
  find(name: string): Image | undefined
  /**
   * By id: the image with all its names. By tag or digest: the same, when it is the image's last name, else the name only.
   * Layers still used by containers stay until those are gone. Absent: succeeds.
   */
  remove(name: string): Promise<void>
  /** Pinned patterns (exact, `prefix*`, `*substring*`) can change at reload. */
  setPinned(patterns: readonly string[]): void

  /**
   * The writable root file system of a container: image layers below, a directory of its own above, mounted. Undone by `removeRootfs`.
   * Throws `failed_precondition` when the file system of the layers cannot be mounted idmapped.
   */
  createRootfs(request: RootfsRequest, signal: AbortSignal): Promise<Rootfs>
  /** Unmounts; the writable layer stays. Absent: succeeds. */
  unmountRootfs(key: string): Promise<void>
  /** Unmounts and removes the writable layer. Absent: succeeds. Works with no free byte on the disk. */
  removeRootfs(key: string): Promise<void>
  /** The writable layer's directory, for statistics. */
  writableLayer(key: string): string
  /** Keys of all root file systems there are; recovery removes those without a container. */
  rootfsKeys(): readonly string[]

  /** A directory on the disk of the layers, and one on that of the writable layers: the same where that is one disk. */
  readonly fileSystems: FileSystems
  imageUsage(signal: AbortSignal): Promise<StoreUsage>
  containerUsage(signal: AbortSignal): Promise<StoreUsage>
  /** Where every byte is. Measures: takes seconds on a large store. */
  diskUsage(signal: AbortSignal): Promise<StoreDiskUsage>
  /** Looks at the whole store, tells what is wrong as it is found, and mends it if asked to. One at a time: else `unavailable`. */
  check(options: StoreCheckOptions, signal: AbortSignal): Promise<StoreCheckSummary>
  /**
   * Sweeps what an unclean end left: ingests, half-unpacked layers, layers no image or container refers to. After a power loss what
   * was written last is checked in the background; until then a container that wants it waits for that.
   */
  recover(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}
