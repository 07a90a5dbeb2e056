// What a check of the store can find.
import type { ImageId } from '@coracle/oci-spec/digest'

export interface StoreFinding {
  readonly kind: 'layer' | 'blob' | 'skeleton' | 'image' | 'container' | 'orphan' | 'index'
  /** The layer's diffID (also for its skeleton), the image's id, the container's key, a blob's or orphan's path. */
  readonly subject: string
  /** What is wrong, one line each. */
  readonly problems: readonly string[]
  /** Images that cannot be used for it. */
  readonly images: readonly ImageId[]
  /** Root file systems that stand on it. */
  readonly containers: readonly string[]
  readonly repair: 'not tried' | 'done' | 'failed'
  /** What the repair did, or why it failed and what is left to do. */
  readonly repairDetail: string
}

export interface StoreCheckSummary {
  readonly layers: number
  readonly files: number
  readonly bytesRead: number
  readonly images: number
  /** Layers unpacked before there were tree records: only their directories were looked for. */
  readonly unrecorded: number
  readonly findings: number
  /** Findings that are still true. */
  readonly left: number
}

export interface StoreCheckOptions {
  /** Reads all content; otherwise names, types, owners, modes, sizes and times. */
  readonly deep: boolean
  /** Fetches again what is damaged and removes what nothing refers to. */
  readonly repair: boolean
  readonly onFinding: (finding: StoreFinding) => void
}
