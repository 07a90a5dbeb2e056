import type { ContainerId, PodId } from '@coracle/base/ids'
import type { ContainerConfig, LinuxContainerResources } from '@coracle/cri-api'
import type { ImageId } from '@coracle/oci-spec/digest'
import type { Process } from '@coracle/oci-spec/runtime-spec'

// The states of a container, each with its own data.
//
//   creating ───► created ───► running ───► exited ───► (record deleted)
//      │             │  │                     ▲
//      │ undone      │  └── start failed ─────┤ StartError, 128
//      └─► (deleted) └───── its init died ────┘
//
export type ContainerState =
  | { readonly kind: 'creating' }
  /** With a `failure` no process exists: the OCI runtime refused, and its words are told at the start. */
  | { readonly kind: 'created'; readonly pid: number; readonly monitorPid: number; readonly failure: string | undefined }
  | { readonly kind: 'running'; readonly pid: number; readonly monitorPid: number; readonly startedAt: bigint }
  | {
      readonly kind: 'exited'
      readonly startedAt: bigint
      readonly finishedAt: bigint
      readonly exitCode: number
      readonly reason: string
      readonly message: string
    }

export interface ContainerUserIds {
  readonly uid: number
  readonly gid: number
  readonly supplementalGroups: readonly number[]
}

/** What the container was made with; fixed when it becomes `created`. */
export interface Made {
  /** Of the container's init; exec uses the same user, capabilities and limits. */
  readonly process: Process
  readonly user: ContainerUserIds
  readonly cgroupsPath: string
  readonly stopSignal: number
  /** The images that its mounts are of, by the mount's position: a name may mean another one later. */
  readonly imageVolumes?: Readonly<Record<number, ImageId>>
}

/** A container. A record is never changed: a change makes a new one. */
export interface Container {
  readonly id: ContainerId
  readonly podId: PodId
  /** Unique among containers: pod id, name and attempt. */
  readonly key: string
  /** As the caller sent it; echoed byte for byte. */
  readonly config: ContainerConfig
  readonly imageId: ImageId
  /** `repo@digest` for people, the id where there is none. */
  readonly imageRef: string
  readonly runtime: string
  readonly createdAt: bigint
  readonly logPath: string | undefined
  readonly resources: LinuxContainerResources | undefined
  readonly made: Made | undefined
  readonly state: ContainerState
  /** Whether a caller has learned the id: only then may the same request not be answered by it again. */
  readonly claimed: boolean
  /** Hash of the whole request: the same again is a retry, another with this key is a conflict. */
  readonly fingerprint: string
}

export type CreatedContainer = Container & { readonly state: Extract<ContainerState, { kind: 'created' }>; readonly made: Made }
export type RunningContainer = Container & { readonly state: Extract<ContainerState, { kind: 'running' }>; readonly made: Made }

export const isCreated = (c: Container): c is CreatedContainer => c.state.kind === 'created'
export const isRunning = (c: Container): c is RunningContainer => c.state.kind === 'running'
/** Whether callers may see it: nothing half-made is ever listed. */
export const isContainerVisible = (c: Container): boolean => c.state.kind !== 'creating'

/**
 * The containers of a pod that callers may see, the newest first: with its EventedPLEG gate kubelet takes the first status of a name
 * for the latest attempt, and would go on making an attempt that exists.
 */
export function visibleContainersOf(containers: Iterable<Container>, podId: PodId | undefined): readonly Container[] {
  const own = [...containers].filter((container) => container.podId === podId && isContainerVisible(container))
  return own.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
}
/** Whether an OCI container may exist for it. */
export const isLive = (c: Container): boolean => c.state.kind === 'created' || c.state.kind === 'running'

export function containerKey(podId: string, config: ContainerConfig): string {
  return JSON.stringify([podId, config.metadata?.name ?? '', config.metadata?.attempt ?? 0])
}

export interface ExitFacts {
  readonly exitCode: number
  readonly finishedAt: bigint
  readonly oomKilled: boolean
}

/** The state after the init process ended. Times never run backwards. */
export function exitedState(container: Container, exit: ExitFacts): Extract<ContainerState, { kind: 'exited' }> {
  const startedAt = container.state.kind === 'running' ? container.state.startedAt : 0n
  const earliest = startedAt > container.createdAt ? startedAt : container.createdAt
  return {
    kind: 'exited',
    startedAt,
    finishedAt: exit.finishedAt > earliest ? exit.finishedAt : earliest,
    exitCode: exit.exitCode,
    reason: exit.oomKilled ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error',
    message: '',
  }
}
