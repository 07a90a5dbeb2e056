import { createReadStream, existsSync } from 'node:fs'
import { CodedError, invalid, notFound } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Processes } from '@coracle/host'
import type { DiffId } from '@coracle/oci-spec/digest'
import { parseManifest } from '@coracle/oci-spec/manifest'
import { nameOf, taggedName } from '@coracle/oci-spec/reference'
import { replayArchive } from '../skeleton/replay.ts'
import { type ImageName, isSound, type Layer, type StoredImage } from '../store/index.ts'
import { isOfDiffId } from '../store/layer-key.ts'
import { blobBelow, skeletonBelow } from '../store/layout.ts'
import { leaseLayers, type Store } from '../store/store.ts'
import type { ImageTransfers, ImportSession, StoredParts } from './image-transfers.ts'
import { type ImportDeps, ImportSessions } from './import-sessions.ts'

export interface TransferDeps extends ImportDeps {
  readonly processes: Pick<Processes, 'start'>
  readonly findImage: (name: string) => StoredImage | undefined
  readonly findName: (name: string) => ImageName | undefined
}

export function createTransfers(deps: TransferDeps): ImageTransfers & AsyncDisposable {
  const { store } = deps
  const sessions = new ImportSessions(deps)
  const get = (name: string): StoredImage => {
    const image = deps.findImage(name)
    if (image === undefined) throw notFound(`no image ${quote(name)}`)
    return image
  }
  return {
    read: (name) => partsOf(store, get(name)),
    readLayer: (diffId, form, signal) => readLayer(deps, { diffId, form }, signal),
    begin: (): ImportSession => sessions.open(),
    session: (id) => sessions.get(id),
    isOpen: (id) => sessions.isOpen(id),
    underWay: () => sessions.underWay(),
    async tag(name, reference) {
      const image = get(name)
      const tag = taggedName(reference)
      if (tag === undefined || reference.digest !== undefined) throw invalid('a new name must be a tag, not a digest')
      if (image.origin !== undefined)
        throw new CodedError('failed_precondition', `image ${image.id} is in the read-only store ${image.origin}`)
      store.index.addNames([{ name: tag, kind: 'tag', repository: nameOf(reference), byTag: true, image: image.id }])
      await store.index.flush()
    },
    async untag(name) {
      const image = get(name)
      const found = deps.findName(name)
      const all = [...store.index.names()].filter((each) => each.image === image.id).map((each) => each.name)
      const removed = found === undefined ? all : [found.name]
      store.index.removeNames(removed)
      await store.index.flush()
      return removed
    },
    [Symbol.asyncDispose]: () => sessions[Symbol.asyncDispose](),
  }
}

function partsOf(store: Store, image: StoredImage): StoredParts {
  const { manifest, config } = store.index.documents(image.id)
  if (manifest.length === 0)
    throw new CodedError('failed_precondition', `image ${image.id} is in another store (${image.origin}): it can be read there`)
  const names = [...store.index.names()].filter((name) => name.image === image.id)
  const parsed = parseManifest(manifest, undefined)
  const blobs = parsed.kind === 'manifest' ? parsed.layers : []
  const layers = image.config.diffIds.map((diffId, i) => {
    const key = image.layers.find((each) => isOfDiffId(each, diffId)) ?? diffId
    const layer = store.index.layer(key)
    return {
      diffId,
      hasBlob: layer !== undefined && layer.blobDigest === blobs[i]?.digest && existsSync(blobPath(store, layer)),
      hasArchive: layer !== undefined && existsSync(skeletonPath(store, layer)),
    }
  })
  const ofKind = (kind: ImageName['kind']) => names.filter((name) => name.kind === kind).map(({ name }) => name)
  return {
    id: image.id,
    manifestDigest: image.manifestDigest,
    manifest,
    config,
    layers,
    tags: ofKind('tag'),
    digests: ofKind('digest'),
  }
}

const blobPath = (store: Store, layer: Layer): string => blobBelow(layer.origin ?? store.layout.root, layer.number)
const skeletonPath = (store: Store, layer: Layer): string => skeletonBelow(layer.origin ?? store.layout.root, layer.number)

async function* readLayer(
  { store, processes }: TransferDeps,
  { diffId, form }: { readonly diffId: DiffId; readonly form: 'archive' | 'blob' },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  // Over whatever others: its archive is the same.
  const found = [...store.index.layers()].filter(({ key }) => isOfDiffId(key, diffId))
  const layer = found.find(isSound) ?? found[0]
  if (layer === undefined) throw notFound(`no layer ${diffId}`)
  using _lease = leaseLayers(store, [layer.key])
  const path = form === 'blob' ? blobPath(store, layer) : skeletonPath(store, layer)
  if (!existsSync(path))
    throw new CodedError(
      'failed_precondition',
      form === 'blob'
        ? `the compressed form of layer ${diffId} is not kept`
        : `layer ${diffId} was unpacked before anything was written down to make its archive again: pull its image anew`,
    )
  if (form === 'blob') {
    yield* createReadStream(path, { highWaterMark: 1024 * 1024, signal })
    return
  }
  const task = { directory: store.layerPath(layer), skeleton: path, diffId, cacheDirectory: store.layout.cache }
  yield* replayArchive(processes, task, signal)
}
