import { join } from 'node:path'
import { invalid } from '@coracle/base/errors'
import type { Settings } from './load.ts'

/** Where images and writable layers lie. */
export interface ImagePlaces {
  readonly root: string
  readonly containersRoot: string
  readonly additionalStores: readonly string[]
}

/** Throws `invalid_argument` when the store that is written to is to be a read-only one as well. */
export function imagePlacesOf(settings: Settings): ImagePlaces {
  const get = (path: string) => settings.get(path)?.value
  const root = String(get('images.root') ?? join(String(get('root')), 'images'))
  const additionalStores = [get('images.additional_stores') ?? []].flat().map(String)
  if (additionalStores.includes(root)) throw invalid(`images.additional_stores names ${root}, the store that is written to`)
  return { root, containersRoot: String(get('images.containers_root') ?? root), additionalStores }
}
