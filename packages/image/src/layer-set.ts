// All layers of an image: side by side, and then those that need the ones below them.
import { CodedError } from '@coracle/base/errors'
import { Limiter } from '@coracle/base/limiter'
import { logger } from '@coracle/base/log'
import type { DiffId } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import type { LayerProgress } from './images.ts'
import type { InstallRequest } from './install.ts'
import type { LayerRequest, Layers, LayersDeps } from './layers.ts'
import { isOfDiffId, keyOver, type LayerKey } from './store/layer-key.ts'
import { isLinkBelow } from './unpack/link-below-error.ts'

const log = logger('image')

export interface LayerSet extends Pick<InstallRequest, 'resolved' | 'source' | 'spooled' | 'tell'> {
  /** As many as the manifest has layers. */
  readonly diffIds: readonly DiffId[]
}

type Deps = Pick<LayersDeps, 'store' | 'settings'> & { readonly layers: Layers }

/** Resolves to what each is known by, when all are in the store. The caller holds leases on whatever they may be known by. */
export async function ensureLayers(deps: Deps, set: LayerSet, caller: AbortSignal): Promise<readonly LayerKey[]> {
  const { diffIds, resolved, spooled, source } = set
  const blobs = resolved.manifest.layers
  const progress = progressOf(blobs, set.tell)
  const perImage = new Limiter(deps.settings.maxDownloadsPerImage, 'download slot of the image')
  const request = (i: number): LayerRequest => {
    // As many blobs as diffIDs.
    const [diffId, blob] = [diffIds[i] as DiffId, blobs[i] as Descriptor]
    const file = spooled?.get(blob.digest)
    return { diffId, blob, source, ...(file === undefined ? {} : { spooled: file }), perImage, onProgress: progress.of(i) }
  }
  // The largest first: a small one is the better last. Equal layers are one.
  const order = [...new Map(diffIds.map((diffId, i) => [diffId, i])).values()].sort(
    (a, b) => (blobs[b]?.size ?? 0) - (blobs[a]?.size ?? 0),
  )
  const needy = new Set<DiffId>()
  await allOrNone(caller, order, async (i, signal) => {
    const wanted = request(i)
    if (isKnownNeedy(deps, wanted.diffId)) return void needy.add(wanted.diffId)
    try {
      await deps.layers.ensure(wanted, signal)
    } catch (err) {
      if (!isLinkBelow(err) || i === 0) throw err
      needy.add(wanted.diffId)
    }
  })
  const keys: LayerKey[] = []
  // The lowest first: one may need the other.
  for (const [i, diffId] of diffIds.entries()) {
    const key = needy.has(diffId) ? keyOver(diffIds, i) : diffId
    if (key !== diffId) {
      if (diffIds.indexOf(diffId) !== diffIds.lastIndexOf(diffId))
        throw new CodedError(
          'invalid_argument',
          `layer ${diffId} has hard links into the layers below and comes twice in the image`,
        )
      log.info('layer has hard links into those below: it is unpacked over them', { diffId, layers: i })
      await deps.layers.ensure({ ...request(i), over: { key, layers: [...keys] } }, caller)
    }
    keys.push(key)
  }
  return keys
}

// What a layer needs is written in itself: it is the same over whatever other layers.
const isKnownNeedy = ({ store: { index } }: Deps, diffId: DiffId): boolean =>
  index.layer(diffId) === undefined && [...index.layers()].some(({ key }) => isOfDiffId(key, diffId))

/** Works on all; the first failure ends the others. Resolves or rejects when none is under way any more. */
async function allOrNone(
  caller: AbortSignal,
  places: readonly number[],
  work: (i: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([caller, stop.signal])
  const all = places.map((i) => work(i, signal))
  try {
    await Promise.all(all)
  } catch (err) {
    stop.abort(err)
    await Promise.allSettled(all)
    throw err
  }
}

function progressOf(layers: readonly Descriptor[], tell: (layers: readonly LayerProgress[]) => void) {
  const states: LayerProgress[] = layers.map(({ digest, size }) => ({
    digest,
    state: 'waiting',
    downloadedBytes: 0,
    totalBytes: size,
  }))
  tell([...states])
  return {
    of: (i: number) => (state: LayerProgress['state'], downloadedBytes: number) => {
      // As many states as layers.
      states[i] = { ...(states[i] as LayerProgress), state, downloadedBytes }
      tell([...states])
    },
  }
}
