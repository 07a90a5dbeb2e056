import type { ContainerId, PodId } from '@coracle/base/ids'
import type { KeyedLock } from '@coracle/base/keyed-lock'
import type { SingleFlight } from '@coracle/base/single-flight'
import type { Cni } from '@coracle/cni'
import type { CdiIndex, HostFacts } from '@coracle/container-spec'
import type { ContainerConfig, PodSandboxConfig } from '@coracle/cri-api'
import type { Host } from '@coracle/host'
import type { Images } from '@coracle/image'
import type { OciRuntime } from '@coracle/oci-runtime'
import type { LinuxDevice } from '@coracle/oci-spec/runtime-spec'
import type { StopOperation } from './container/stop.ts'
import type { Container } from './model/container.ts'
import type { Pod } from './model/pod.ts'
import type { Selinux } from './selinux/labels.ts'
import type { Records } from './store/records.ts'

export type Pods = Records<PodId, PodSandboxConfig, Pod>
export type Containers = Records<ContainerId, ContainerConfig, Container>

export interface HandlerSettings {
  /** Pod annotations that reach the OCI spec: exact names or `prefix*`. */
  readonly allowedAnnotations: readonly string[]
  /** Privileged containers get the devices of their request only. */
  readonly privilegedWithoutHostDevices: boolean
  /** Runtime and kernel can make a mount read-only together with all that is mounted below it. */
  readonly recursiveReadOnly: boolean
  /** Words of mount options that the runtime knows; others it might ignore without a word. */
  readonly mountOptions: ReadonlySet<string>
  /** Why its pods cannot have user namespaces on this machine; undefined: they can. */
  readonly userNamespaceProblem?: string | undefined
}

export interface Settings {
  /** Survives a reboot. */
  readonly rootDirectory: string
  /** Dies with a reboot. */
  readonly stateDirectory: string
  readonly defaultRuntime: string
  /** Program that is init of a shared PID namespace; absolute. */
  readonly initProgram: string
  readonly monitorCgroup: string | undefined
  /** Parent for pods whose request names none. */
  readonly defaultCgroupParent: string
  /** How long a look at a path that a pod supplied may take. */
  readonly probeTimeoutMs: number
  /** Devices belong to the user that a container asks for, not to their owners on the node. */
  readonly ownDevices: boolean
  /** Mount sources that are not made when they are missing. */
  readonly absentSourcesToReject: readonly string[]
  /** What a container without a seccomp field gets: the CRI says none. */
  readonly unsetSeccomp: 'runtimeDefault' | 'unconfined'
  /** How long a made pod or container waits for the retry of a caller that gave up. */
  readonly unclaimedMs: number
}

/** The CDI files of this node. */
export interface CdiSource {
  /** Whether annotations `cdi.k8s.io/…` of a container name devices, too. */
  readonly annotations: boolean
  /** What the files say now. */
  index(): CdiIndex
}

/** The kernel's AppArmor profiles. */
export interface AppArmorSource {
  readonly defaultProfile: string
  /** Names of those loaded now. */
  loaded(): ReadonlySet<string>
}

/** Everything the pod and container operations need, handed in by the composition root. */
export interface Services {
  readonly pods: Pods
  readonly containers: Containers
  readonly host: Host
  readonly facts: HostFacts
  /** The device at a path, or all below a directory; empty when there is none. */
  readonly devicesAt: (path: string) => readonly LinuxDevice[]
  readonly hostDevices: () => readonly LinuxDevice[]
  /** Undefined: CDI is off. */
  readonly cdi: CdiSource | undefined
  /** Undefined: the kernel has no AppArmor, or it is not to be used. */
  readonly apparmor: AppArmorSource | undefined
  /** Undefined: the kernel has no SELinux, or it is not to be used. */
  readonly selinux: Selinux | undefined
  readonly images: Images
  readonly cni: Cni
  /** Runtime handlers by name; the default one is also under `""`. Replaced at reload. */
  readonly runtimes: ReadonlyMap<string, OciRuntime>
  /** Handlers that the configuration no longer has and things still run under: for what is there, never for what is new. */
  readonly retiredRuntimes: ReadonlyMap<string, OciRuntime>
  readonly handlerSettings: (runtime: string) => HandlerSettings
  readonly settings: Settings
  /** One lock a pod and one a container, always taken in that order. Reads take none. */
  readonly podLocks: KeyedLock
  readonly containerLocks: KeyedLock
  readonly podFlights: SingleFlight<PodId>
  readonly containerFlights: SingleFlight<ContainerId>
  readonly startFlights: SingleFlight<void>
  readonly stops: Map<ContainerId, StopOperation>
  /** Waiters for a container's exit, and the watchers that feed them. */
  readonly exits: Map<ContainerId, PromiseWithResolvers<void>>
  /** Cleanups that run after an exit was reported; removal waits for them. */
  readonly afterExit: Map<ContainerId, Promise<void>>
  /** What is still being undone of a creation that is done. */
  readonly afterCreate: Map<string, Promise<void>>
  /** Aborts when the daemon stops. Work that outlives its caller uses this one. */
  readonly shutdown: AbortSignal
}
