// The check of a whole store: index, images, layers, containers, and what nothing refers to.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { failed } from '@coracle/base/errors'
import { algorithmOf, type ImageId } from '@coracle/oci-spec/digest'
import { orphans } from '../collect.ts'
import type { RootfsStore } from '../rootfs.ts'
import { isSound, type LayerKey, type StoredImage } from '../store/index.ts'
import type { Store } from '../store/store.ts'
import type { StoreFinding } from './findings.ts'
import type { Soundness } from './soundness.ts'

export interface CheckParts {
  readonly store: Store
  readonly rootfs: Pick<RootfsStore, 'inUse' | 'users' | 'keys' | 'unreadable'>
  readonly soundness: Soundness
}

export type Found = Omit<StoreFinding, 'repair' | 'repairDetail'>

export interface Checked {
  readonly found: readonly Found[]
  readonly layers: number
  readonly files: number
  readonly bytesRead: number
  readonly unrecorded: number
}

/** Layers are taken in turns of this many: findings come as they are made, and a collection waits for few. */
const turn = 32

/** Looks at everything. Damaged layers are marked, so that no container is made on them. */
export async function checkStore(parts: CheckParts, deep: boolean, signal: AbortSignal): Promise<Checked> {
  const { store, soundness } = parts
  const found: Found[] = [...indexProblems(store), ...imageProblems(store)]
  const keys = [...store.index.layers()].map(({ key }) => key)
  const totals = { layers: 0, files: 0, bytesRead: 0, unrecorded: 0 }
  for (let at = 0; at < keys.length; at += turn) {
    signal.throwIfAborted()
    try {
      for (const { layer, problems, problemCount, files, bytesRead, blobDamaged, skeletonProblem } of await soundness.check(
        keys.slice(at, at + turn),
        deep,
        signal,
      )) {
        totals.layers++
        totals.files += files
        totals.bytesRead += bytesRead
        if (layer.treeDigest === undefined) totals.unrecorded++
        if (blobDamaged && layer.origin === undefined)
          found.push(finding('blob', store.layout.blob(layer.number), ['it has other bytes than its digest says']))
        if (skeletonProblem !== undefined && problemCount === 0 && layer.damage === undefined && layer.origin === undefined)
          found.push({ ...layerFinding(parts, layer.key, [skeletonProblem]), kind: 'skeleton' })
        const more = problemCount - problems.length
        const lines = more > 0 ? [...problems, `and ${more} more`] : problems
        if (problemCount > 0) found.push(layerFinding(parts, layer.key, lines))
        // Found by a deeper look before.
        else if (!deep && layer.damage !== undefined) found.push(layerFinding(parts, layer.key, [layer.damage]))
      }
    } catch (err) {
      signal.throwIfAborted()
      throw failed('check the layers of the store', err)
    }
  }
  found.push(...missingLayers(parts), ...containerProblems(parts))
  for (const path of orphans(store, parts.rootfs)) found.push(finding('orphan', path, ['nothing refers to it']))
  return { found, ...totals }
}

const finding = (kind: Found['kind'], subject: string, problems: readonly string[]): Found => ({
  ...{ kind, subject, problems },
  images: [],
  containers: [],
})

export function layerFinding({ store, rootfs }: CheckParts, key: LayerKey, problems: readonly string[]): Found {
  const images = [...store.index.images()].filter(({ layers }) => layers.includes(key)).map(({ id }) => id)
  return { kind: 'layer', subject: key, problems, images, containers: rootfs.users(key) }
}

function indexProblems(store: Store): Found[] {
  return store.index.integrityProblems().map((problem) => finding('index', store.layout.database, [problem]))
}

/** What an image's id and digest are digests of must still be there. */
function imageProblems({ index }: Store): Found[] {
  const found: Found[] = []
  for (const image of index.images()) {
    if (image.origin !== undefined) continue
    const { config, manifest } = index.documents(image.id)
    const problems: string[] = []
    if (digest(config, image.id) !== image.id) problems.push('its config is not what its id says')
    if (digest(manifest, image.manifestDigest) !== image.manifestDigest) problems.push('its manifest is not what its digest says')
    if (problems.length > 0) found.push({ ...finding('image', image.id, problems), images: [image.id] })
  }
  return found
}

const digest = (bytes: Uint8Array, like: StoredImage['id'] | StoredImage['manifestDigest']): string =>
  `${algorithmOf(like)}:${createHash(algorithmOf(like)).update(bytes).digest('hex')}`

/** Layers that images list and the index has lost. */
function missingLayers(parts: CheckParts): Found[] {
  const { index } = parts.store
  const missing = new Set([...index.images()].flatMap(({ layers }) => layers.filter((key) => index.layer(key) === undefined)))
  return [...missing].map((key) => layerFinding(parts, key, ['it is not in the index']))
}

/** A container's directory is its lease on its layers: it must be readable, and what it names be there. */
function containerProblems({ store, rootfs }: CheckParts): Found[] {
  const found: Found[] = []
  for (const key of rootfs.unreadable()) {
    found.push({ ...finding('container', key, ['the record of its layers cannot be read']), containers: [key] })
  }
  for (const [key, numbers] of rootfs.inUse().byKey) {
    const lost = numbers.filter((number) => !existsSync(store.layout.layer(number)))
    if (lost.length > 0)
      found.push({ ...finding('container', key, [`stands on ${lost.length} layers that are gone`]), containers: [key] })
  }
  return found
}

/** Whether what was found is still true, after a repair. */
export function isMended({ store }: CheckParts, { kind, subject, images }: Found): boolean {
  if (kind === 'orphan' || kind === 'blob') return !existsSync(subject)
  if (kind === 'layer' || kind === 'skeleton') return images.length === 0 || isSound(store.index.layer(subject as LayerKey))
  return images.length > 0 && imageProblems(store).every(({ subject: id }) => id !== (subject as ImageId))
}
