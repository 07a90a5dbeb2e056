// What a layer is known by. Mostly its diffID: unpacked alone it is the same in every image.
import { createHash } from 'node:crypto'
import type { DiffId } from '@coracle/oci-spec/digest'

/**
 * A layer's diffID; with `+` and the SHA-256 of the diffIDs below it for one whose hard links lead there, so that its content depends on
 * them; or `dirs-` and a digest for one that only mends directories of the layers below.
 */
export type LayerKey = DiffId | `${DiffId}+${string}` | `dirs-${string}`

/** For the layer at place `i` of an image, when its content depends on those below. */
export const keyOver = (diffIds: readonly DiffId[], i: number): LayerKey =>
  // As many as there are places.
  `${diffIds[i] as DiffId}+${createHash('sha256').update(diffIds.slice(0, i).join(' ')).digest('hex')}`

/** Whether it is that layer, alone or over others. */
export const isOfDiffId = (key: LayerKey, diffId: DiffId): boolean => key === diffId || key.startsWith(`${diffId}+`)

/** Whether it can be put on any other layers. */
export const isAlone = (key: LayerKey): boolean => !key.includes('+')
