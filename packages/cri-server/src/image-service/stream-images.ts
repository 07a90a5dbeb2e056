import type { ImageService } from '@coracle/cri-api'
import { imageItem } from '../convert/image.ts'
import type { RouteDeps } from '../deps.ts'
import { chunksOf } from '../encoded.ts'
import type { Handler } from '../service.ts'
import { selectImages } from './select.ts'

export function streamImages(deps: RouteDeps): Handler<(typeof ImageService)['method']['streamImages']> {
  return async function* ({ filter }) {
    yield* chunksOf(selectImages(deps.images, filter).map(imageItem))
  }
}
