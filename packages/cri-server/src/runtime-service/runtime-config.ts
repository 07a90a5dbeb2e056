import { CgroupDriver, type RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'

export function runtimeConfig(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['runtimeConfig']> {
  return () => ({ linux: { cgroupDriver: deps.cgroupDriver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS } })
}
