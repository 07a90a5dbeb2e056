import type { ImageService } from '@coracle/cri-api'
import { imageMessage } from '../convert/image.ts'
import { toJson } from '../convert/pod.ts'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { parseImageName } from './name.ts'

/**
 * An image that is not present is no error: the answer then has none. One that is damaged counts as not present: kubelet then pulls
 * it, which brings back what it lost.
 */
export function imageStatus(deps: RouteDeps): Handler<(typeof ImageService)['method']['imageStatus']> {
  return ({ image: spec, verbose }) => {
    const image = deps.images.find(parseImageName(spec))
    if (image === undefined || image.damage !== undefined) return {}
    const info = { imageSpec: JSON.parse(image.rawConfig), labels: Object.fromEntries(image.config.labels) }
    return { image: imageMessage(image), info: verbose ? { info: toJson(info) } : {} }
  }
}
