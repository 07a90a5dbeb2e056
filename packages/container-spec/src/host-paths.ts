import type { ContainerConfig } from '@coracle/cri-api'
import { parseAbsolute } from './paths.ts'

/** The mount sources that must be looked at before `createSpec` (`SpecInput.sources`), as sent, each once. Throws `invalid_argument` for a bad path. */
export function hostPathsOf(config: ContainerConfig): readonly string[] {
  const paths = new Set<string>()
  config.mounts.forEach((mount, i) => {
    if (mount.image !== undefined && mount.image.image !== '') return
    parseAbsolute(`config.mounts[${i}].host_path`, mount.hostPath)
    paths.add(mount.hostPath)
  })
  return [...paths]
}
