import type { PodId } from '@coracle/base/ids'
import type { NetworkResult } from '@coracle/cni'
import type { LinuxContainerResources, PodSandboxConfig } from '@coracle/cri-api'

// The states of a pod. What the machine may hold for it is beside the state, in `Held`: written before the deed, cleared after its undoing.
//
//   creating ──────► ready ──────► notReady ──────► (record deleted)
//      │                              ▲   ▲
//      │ failed, all undone           │   │ undone at last
//      ├────────────► (deleted)       │   │
//      └ something would not go ─────► unknown
//
export type PodState =
  | { readonly kind: 'creating' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'notReady' }
  /** Neither usable nor wholly undone; StopPodSandbox and RemovePodSandbox try again. */
  | { readonly kind: 'unknown'; readonly reason: string }

/** What a crash at any moment may have left on the machine. True means: it may be there, undo it. */
export interface Held {
  readonly directory: boolean
  readonly namespaces: boolean
  readonly network: boolean
  readonly shm: boolean
  /** The pod's cgroup parent did not exist before and was made by us. */
  readonly cgroup: boolean
  readonly infra: boolean
}

export const nothingHeld: Held = { directory: false, namespaces: false, network: false, shm: false, cgroup: false, infra: false }

/** A pod sandbox. A record is never changed: a change makes a new one. */
export interface Pod {
  readonly id: PodId
  /** Unique among pods: namespace, name, uid and attempt. */
  readonly key: string
  /** As the caller sent it; echoed byte for byte. */
  readonly config: PodSandboxConfig
  /** As requested; `""` is the default. */
  readonly handler: string
  /** The runtime handler that was chosen; stays when the configuration changes. */
  readonly runtime: string
  readonly createdAt: bigint
  readonly state: PodState
  readonly held: Held
  readonly cgroupParent: string
  /** Its SELinux level, alone its own unless it asked for it; unset where SELinux is not used. */
  readonly selinuxLevel?: string
  /** Of the pod's own init, when it shares a PID namespace. */
  readonly infraPid: number | undefined
  readonly network: NetworkResult | undefined
  readonly overhead: LinuxContainerResources | undefined
  readonly resources: LinuxContainerResources | undefined
  /** Whether a caller has learned the id: only then may the same request not be answered by it again. */
  readonly claimed: boolean
  /** Hash of the whole request: the same again is a retry, another with this key is a conflict. */
  readonly fingerprint: string
}

export type ReadyPod = Pod & { readonly state: Extract<PodState, { kind: 'ready' }> }

export const isReady = (pod: Pod): pod is ReadyPod => pod.state.kind === 'ready'
/** Whether callers may see it: nothing half-made is ever listed. */
export const isPodVisible = (pod: Pod): boolean => pod.state.kind !== 'creating'

/** NamespaceMode of the CRI: POD 0, CONTAINER 1, NODE 2, TARGET 3. */
export const namespaceMode = { pod: 0, container: 1, node: 2, target: 3 } as const

export const namespaceOptionsOf = (config: PodSandboxConfig) => config.linux?.securityContext?.namespaceOptions
export const isHostNetwork = (config: PodSandboxConfig): boolean => namespaceOptionsOf(config)?.network === namespaceMode.node
export const isHostIpc = (config: PodSandboxConfig): boolean => namespaceOptionsOf(config)?.ipc === namespaceMode.node
/** Absent options are the enum's zero value, POD, as with both peers; kubelet always sends the field. */
export const sharesPid = (config: PodSandboxConfig): boolean =>
  (namespaceOptionsOf(config)?.pid ?? namespaceMode.pod) === namespaceMode.pod

export function podKey(config: PodSandboxConfig): string {
  const { namespace = '', name = '', uid = '', attempt = 0 } = config.metadata ?? {}
  return JSON.stringify([namespace, name, uid, attempt])
}

/** `namespace/name` for messages. */
export const podTitle = (config: PodSandboxConfig): string => `${config.metadata?.namespace ?? ''}/${config.metadata?.name ?? ''}`
