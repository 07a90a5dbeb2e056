// Mends what a check found: damaged layers are pulled again by the digest that their image was pulled by, orphans are removed.
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import type { ImageId } from '@coracle/oci-spec/digest'
import { parseReference, type Reference } from '@coracle/oci-spec/reference'
import type { ImageName, LayerKey } from '../store/index.ts'
import { leaseLayers, type Store } from '../store/store.ts'
import type { CheckParts, Found } from './check-store.ts'

const log = logger('image')

export interface RepairDeps {
  readonly parts: CheckParts
  readonly pull: (reference: Reference, signal: AbortSignal) => Promise<ImageId>
}

/** Mends one finding. Resolves to what was done; throws when it could not be. */
export async function repair(deps: RepairDeps, found: Found, signal: AbortSignal): Promise<string> {
  const { store } = deps.parts
  switch (found.kind) {
    case 'orphan':
      await store.trash.take(found.subject)
      return 'removed'
    case 'blob':
      await store.trash.take(found.subject)
      return 'removed: the layer itself is whole, only saving and pushing it gives another manifest digest'
    case 'layer':
      return repairLayer(deps, found, signal)
    case 'skeleton':
      return repairSkeleton(deps, found, signal)
    case 'image':
      return repairImage(deps, found.subject as ImageId, signal)
    case 'container':
      throw new CodedError(
        'failed_precondition',
        'its writable layer cannot be mended: remove the container and let it be made anew',
      )
    case 'index':
      throw new CodedError(
        'failed_precondition',
        `stop the daemon and move the file away: images are then pulled anew, containers that run are kept`,
      )
    default:
      return found.kind satisfies never
  }
}

async function repairLayer({ parts, pull }: RepairDeps, found: Found, signal: AbortSignal): Promise<string> {
  const { store } = parts
  if (found.images.length === 0)
    throw new CodedError(
      'failed_precondition',
      'no image has it any more, only containers: they must be made anew, with it the layer goes',
    )
  const failures: string[] = []
  // The first image that can be pulled brings the layer back for all.
  for (const id of found.images) {
    try {
      const reference = await pullAgain(store, { id, pull }, signal)
      const note = found.containers.length === 0 ? '' : '; containers that run keep the damaged copy until they are made anew'
      return `pulled again from ${reference}${note}`
    } catch (err) {
      signal.throwIfAborted()
      failures.push(explain(err))
    }
  }
  throw new CodedError('unavailable', failures.join('; '))
}

/** The layer can be used, but not leave the store: it is unpacked anew. Meanwhile it counts as damaged, or nothing would be pulled. */
async function repairSkeleton(deps: RepairDeps, found: Found, signal: AbortSignal): Promise<string> {
  const { index } = deps.parts.store
  const key = found.subject as LayerKey
  index.setDamage(key, 'it is pulled again, so that it can leave the store')
  try {
    return await repairLayer(deps, found, signal)
  } catch (err) {
    index.setDamage(key, undefined)
    throw err
  }
}

/** The image's record goes and comes back by a pull, with the names it had. */
async function repairImage({ parts, pull }: RepairDeps, id: ImageId, signal: AbortSignal): Promise<string> {
  const { store } = parts
  const { index } = store
  const names = namesOf(store, id)
  const image = index.image(id)
  if (image === undefined) return 'gone meanwhile'
  const documents = index.documents(id)
  using _lease = leaseLayers(store, image.layers)
  index.removeImage(id)
  try {
    const reference = await pullNames(names, { id, pull }, signal)
    index.addNames(names)
    await index.flush()
    return `pulled again from ${reference}`
  } catch (err) {
    // Damaged is better than none: its layers still serve.
    if (index.image(id) === undefined)
      index.addImage({ image, rawConfig: documents.config, rawManifest: documents.manifest }, names)
    throw err
  }
}

interface Again {
  readonly id: ImageId
  readonly pull: RepairDeps['pull']
}

const pullAgain = (store: Store, again: Again, signal: AbortSignal): Promise<string> =>
  pullNames(namesOf(store, again.id), again, signal)

const namesOf = ({ index }: Store, id: ImageId): readonly ImageName[] => [...index.names()].filter(({ image }) => image === id)

// Only by digest: a tag may stand for another image by now.
async function pullNames(names: readonly ImageName[], { id, pull }: Again, signal: AbortSignal): Promise<string> {
  const digested = names.filter(({ kind }) => kind === 'digest')
  if (digested.length === 0)
    throw new CodedError(
      'failed_precondition',
      `image ${id} has no digest of a registry to be pulled by: load or pull it by hand`,
    )
  const failures: string[] = []
  for (const { name } of digested) {
    try {
      const got = await pull(parseReference(name), signal)
      if (got === id) return name
      failures.push(`${name} is the image ${got} for this platform, not ${id}`)
    } catch (err) {
      signal.throwIfAborted()
      log.warn('image could not be pulled again', { image: name, error: explain(err) })
      failures.push(explain(err))
    }
  }
  throw new CodedError('unavailable', failures.join('; '))
}
