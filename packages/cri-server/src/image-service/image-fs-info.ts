import { nowNs } from '@coracle/base/clock'
import type { ImageService } from '@coracle/cri-api'
import type { StoreUsage } from '@coracle/image'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'

export function imageFsInfo(deps: RouteDeps): Handler<(typeof ImageService)['method']['imageFsInfo']> {
  const message = ({ mountpoint, usedBytes, inodesUsed }: StoreUsage) => ({
    timestamp: nowNs(),
    fsId: { mountpoint },
    usedBytes: { value: usedBytes },
    inodesUsed: { value: inodesUsed },
  })
  return async (_request, { signal }) => {
    const [images, containers] = await Promise.all([deps.images.imageUsage(signal), deps.images.containerUsage(signal)])
    return { imageFilesystems: [message(images)], containerFilesystems: [message(containers)] }
  }
}
