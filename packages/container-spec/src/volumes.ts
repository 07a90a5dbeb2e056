// VOLUMEs of an image (image-spec config.md): anonymous directories for the container's life. Their paths are the image's, so hostile.

import { quote } from '@coracle/base/ids'
import type { ContainerConfig } from '@coracle/cri-api'
import type { ImageConfig } from '@coracle/oci-spec/image'
import { cleanPath, isWithin } from './paths.ts'

export interface PlannedVolumes {
  /** Clean absolute paths inside the container that want a fresh host directory. */
  readonly paths: readonly string[]
  readonly warnings: readonly string[]
}

const maxVolumes = 1000
const guarded = ['/proc', '/sys', '/dev']

/** Which volumes of an image are made: none over the runtime's own file systems (CVE-2019-16884), none where CRI mounts something. */
export function planVolumes(image: ImageConfig, config: ContainerConfig): PlannedVolumes {
  const taken = new Set(config.mounts.map((mount) => cleanPath(mount.containerPath)))
  const paths = new Set<string>()
  const warnings: string[] = []
  for (const volume of image.volumes) {
    const path = cleanPath(volume)
    if (
      volume.includes('\0') ||
      Buffer.byteLength(volume) > 4095 ||
      path === '/' ||
      guarded.some((directory) => isWithin(path, directory))
    )
      warnings.push(`volume ${quote(volume)} of the image is ignored: it must lie below / and outside ${guarded.join(', ')}`)
    else if (!taken.has(path)) {
      if (paths.size >= maxVolumes && !paths.has(path)) {
        warnings.push(`the image declares more than ${maxVolumes} volumes: the others are ignored`)
        break
      }
      paths.add(path)
    }
  }
  return { paths: [...paths], warnings }
}
