import type { RuntimeService } from '@coracle/cri-api'
import { execSync as exec } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseArgv, parseId, parseSeconds } from '../parse.ts'
import type { Handler } from '../service.ts'

export function execSync(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['execSync']> {
  return ({ containerId, cmd, timeout }, { signal }) => {
    const request = {
      id: parseId('container_id', containerId),
      argv: parseArgv('cmd', cmd),
      timeoutMs: parseSeconds('timeout', timeout),
    }
    return exec(deps.services, request, signal)
  }
}
