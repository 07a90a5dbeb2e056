import { logger } from '@coracle/base/log'
import type { RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'

const log = logger('cri')

/** Accepted, as kubelet demands. Addresses are given out by the network configuration, not by this. */
export function updateRuntimeConfig(_deps: RouteDeps): Handler<(typeof RuntimeService)['method']['updateRuntimeConfig']> {
  return ({ runtimeConfig }) => {
    const podCidr = runtimeConfig?.networkConfig?.podCidr ?? ''
    if (podCidr !== '') log.info('kubelet announced the pod CIDR; networks are configured by files', { podCidr })
    return {}
  }
}
