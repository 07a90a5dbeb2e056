// What a daemon needs around it that the machine itself does not tell: a network configuration, and the daemon's own word.
import { readdir } from 'node:fs/promises'
import { explain } from '@coracle/base/errors'
import type { Finding } from '@coracle/host'
import type { Context } from '../context.ts'

export async function checkNetworkConfiguration(directory: string): Promise<Finding> {
  const check = 'CNI configuration'
  const files = await readdir(directory).catch((): string[] => [])
  const [first] = files.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort()
  if (first) return { check, state: 'ok', detail: `${directory}/${first}` }
  return {
    check,
    state: 'missing',
    detail: `${directory} has no network configuration`,
    remedy: `install -D -m 644 deploy/10-coracle.conflist ${directory}/10-coracle.conflist, or let the cluster's network add-on write its own`,
  }
}

/** A daemon that does not run is only a warning: one looks at the machine before it is started, too. */
export async function checkDaemon({ runtime, endpoints }: Context): Promise<Finding[]> {
  try {
    const { runtimeName, runtimeVersion } = await runtime.version({}, { timeoutMs: 5000 })
    const { status } = await runtime.status({}, { timeoutMs: 5000 })
    const conditions = (status?.conditions ?? []).map(
      ({ type, status: holds, reason, message }): Finding => ({
        check: type,
        state: holds ? 'ok' : 'missing',
        detail: holds ? 'says the daemon' : [reason, message].filter(Boolean).join(': '),
      }),
    )
    return [
      { check: 'daemon', state: 'ok', detail: `${runtimeName} ${runtimeVersion} at ${endpoints.runtimeSocket}` },
      ...conditions,
    ]
  } catch (err) {
    return [{ check: 'daemon', state: 'warning', detail: explain(err), remedy: 'systemctl start coracle' }]
  }
}
