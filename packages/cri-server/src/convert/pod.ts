import type { MessageInitShape } from '@bufbuild/protobuf'
import { PodSandboxConfigSchema, PodSandboxSchema, PodSandboxState, type PodSandboxStatusSchema } from '@coracle/cri-api'
import { isReady, type Pod, podNamespaces, type Services } from '@coracle/lifecycle'
import { cachedItem } from '../encoded.ts'
import { plain } from './plain.ts'

export const podState = (pod: Pod): PodSandboxState =>
  isReady(pod) ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY

const identity = (pod: Pod) => ({
  id: pod.id,
  ...(pod.config.metadata === undefined ? {} : { metadata: pod.config.metadata }),
  state: podState(pod),
  createdAt: pod.createdAt,
  labels: pod.config.labels,
  annotations: pod.config.annotations,
  runtimeHandler: pod.handler,
})

export const podItem = cachedItem(PodSandboxSchema, (pod: Pod) => identity(pod))

/** `network` is always there; it is empty for pods in the host's network and for those whose network is given back. */
export function podStatus(pod: Pod): MessageInitShape<typeof PodSandboxStatusSchema> {
  const ips = isReady(pod) ? (pod.network?.ips ?? []) : []
  const options = pod.config.linux?.securityContext?.namespaceOptions
  return {
    ...identity(pod),
    network: { ip: ips[0] ?? '', additionalIps: ips.slice(1).map((ip) => ({ ip })) },
    linux: { namespaces: { options: options ?? {} } },
  }
}

/** `runtimeSpec` and `config` are where scripts for other runtimes look for them: a pod of ours is its namespaces, not a process. */
export function podInfo(pod: Pod, settings: Services['settings']): Record<string, string> {
  const info = {
    runtimeHandler: pod.handler,
    runtimeType: pod.runtime,
    state: pod.state,
    holds: pod.held,
    cgroupParent: pod.cgroupParent,
    pid: pod.infraPid ?? 0,
    cniResult: pod.network === undefined ? undefined : JSON.parse(pod.network.raw),
    config: plain(PodSandboxConfigSchema, pod.config),
    runtimeSpec: { linux: { namespaces: podNamespaces(settings, pod) } },
  }
  return { info: toJson(info) }
}

/** For people: protobuf's own marks left out, 64-bit numbers as text. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (key, v: unknown) => {
    if (key === '$typeName' || key === '$unknown') return undefined
    if (typeof v === 'bigint') return v.toString()
    return v instanceof Uint8Array ? Buffer.from(v).toString('utf8') : v
  })
}
