import { invalid } from '@coracle/base/errors'
import type { ContainerConfig, PodSandboxConfig } from '@coracle/cri-api'

/** Throws `invalid_argument` for a privileged container in a pod that is not. */
export function checkPrivilege(config: ContainerConfig, pod: PodSandboxConfig): void {
  if (config.linux?.securityContext?.privileged === true && pod.linux?.securityContext?.privileged !== true)
    throw invalid('config.linux.security_context.privileged needs a privileged pod sandbox')
}
