import type { ImageService } from '@coracle/cri-api'
import { imageItem } from '../convert/image.ts'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import type { Handler } from '../service.ts'
import { selectImages } from './select.ts'

export function listImages(deps: RouteDeps): Handler<(typeof ImageService)['method']['listImages']> {
  return ({ filter }) => listOf(selectImages(deps.images, filter).map(imageItem))
}
