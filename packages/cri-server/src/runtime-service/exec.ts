import type { RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import { parseArgv } from '../parse.ts'
import type { Handler } from '../service.ts'
import { runningContainerId } from './stream-targets.ts'

/** Only checks and hands out a URL; the client then dials the streaming server. */
export function exec(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['exec']> {
  return ({ containerId, cmd, tty, stdin, stdout, stderr }) => {
    const command = parseArgv('cmd', cmd)
    const id = runningContainerId(deps.services, containerId)
    return { url: deps.streaming.execUrl({ containerId: id, command, tty, stdin, stdout, stderr }) }
  }
}
