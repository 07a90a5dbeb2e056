import type { RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'

export function version(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['version']> {
  return (_request, { apiVersion }) => ({
    // kubelet refuses any other version than this one.
    version: '0.1.0',
    runtimeName: deps.name,
    runtimeVersion: deps.version,
    runtimeApiVersion: apiVersion,
  })
}
