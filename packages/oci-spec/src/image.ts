// The nouns of OCI image-spec 1.1 (https://github.com/opencontainers/image-spec), as readonly data.
import type { DiffId, Digest } from './digest.ts'

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Manifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface Index {
  readonly kind: 'index'
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
}

/** What a container takes from an image's config blob (config.md). All strings are hostile. */
export interface ImageConfig {
  readonly platform: Platform
  readonly created?: string
  readonly user: string
  readonly env: readonly string[]
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly workingDir: string
  readonly stopSignal: string
  readonly volumes: readonly string[]
  readonly labels: ReadonlyMap<string, string>
  readonly diffIds: readonly DiffId[]
}
