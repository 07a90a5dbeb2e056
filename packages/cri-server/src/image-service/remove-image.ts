import type { ImageService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { parseImageName } from './name.ts'

export function removeImage(deps: RouteDeps): Handler<(typeof ImageService)['method']['removeImage']> {
  return async ({ image }) => {
    // By whichever name: the image goes with all its names.
    const name = parseImageName(image)
    await deps.images.remove(deps.images.find(name)?.id ?? name)
    return {}
  }
}
