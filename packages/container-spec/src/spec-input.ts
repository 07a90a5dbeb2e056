// What the pure spec builder takes: everything was looked up before, so that each rule is a table test.
import type { ContainerConfig, PodSandboxConfig } from '@coracle/cri-api'
import type { ImageConfig } from '@coracle/oci-spec/image'
import type { LinuxDevice, Seccomp } from '@coracle/oci-spec/runtime-spec'
import type { CdiEdits } from './cdi-parse.ts'

/** Facts about this machine and handler that change the spec. */
export interface HostFacts {
  readonly cgroupMode: 'v1' | 'hybrid' | 'v2'
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  /** First part of the names of containers' cgroups. Default: `coracle`. */
  readonly scopePrefix?: string
  readonly controllers: ReadonlySet<string>
  readonly swapAccounting: boolean
  /** Capabilities this process may give, `CAP_…`. */
  readonly capabilities: readonly string[]
  readonly seccomp: boolean
  readonly apparmor: boolean
  readonly selinux: boolean
  /** This process may lower oom_score_adj below its own (CAP_SYS_RESOURCE). */
  readonly lowerOomScore: boolean
  readonly oomScoreAdj: number
  readonly hugepageSizes: readonly string[]
  readonly recursiveReadOnly: boolean
  readonly userNamespaces: boolean
  /** The existing `/sys/devices/system/cpu/cpuN/thermal_throttle` of this machine, masked by default. */
  readonly thermalThrottlePaths?: readonly string[]
  /** Hard and soft RLIMIT_NOFILE of this process. */
  readonly nofile: { readonly soft: number; readonly hard: number }
}

/** The pod's own things as they were made. Paths undefined: the host's. */
export interface PodFacts {
  readonly id: string
  readonly config: PodSandboxConfig
  readonly netnsPath: string | undefined
  readonly ipcnsPath: string | undefined
  readonly utsnsPath: string | undefined
  /** Of the pod's init, for a shared PID namespace. */
  readonly pidnsPath: string | undefined
  /** The user namespace of a pod with mappings, pinned; it owns those of the pod's other namespaces that are not the host's. */
  readonly usernsPath: string | undefined
  readonly hostname: string
  readonly resolvConfPath: string
  readonly hostnamePath: string
  readonly hostsPath: string
  readonly shmPath: string
  /** Below the hierarchy roots (cgroupfs) or a slice name (systemd). */
  readonly cgroupParent: string
}

/** A mount source that was looked at beforehand. */
export interface SourceFacts {
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket' | undefined
  readonly propagation: 'private' | 'shared' | 'slave'
}

export interface SpecInput {
  readonly id: string
  readonly pod: PodFacts
  readonly config: ContainerConfig
  readonly image: ImageConfig
  readonly host: HostFacts
  readonly rootfsPath: string
  /** /etc/passwd and /etc/group of the root file system, capped; undefined when absent. */
  readonly passwd: Buffer | undefined
  readonly group: Buffer | undefined
  /** By host_path of the config's mounts. */
  readonly sources: ReadonlyMap<string, SourceFacts>
  /** Host devices by path: of config.devices, and all of /dev for privileged containers. */
  readonly devices: ReadonlyMap<string, LinuxDevice>
  /** In user namespaces the handler binds devices by their path inside. Absent: no. */
  readonly bindsDevices?: boolean
  /** A privileged container gets the devices of its request only. Absent: no. */
  readonly withoutHostDevices?: boolean
  /** Devices of the request belong to run_as_user and run_as_group instead of their owners on the node. Absent: no. */
  readonly ownDevices?: boolean
  /** The container whose PID namespace a TARGET container joins. */
  readonly targetPidnsPath: string | undefined
  /** Parsed profile file for Localhost seccomp. */
  readonly localhostSeccomp: Seccomp | undefined
  /** Annotations that may reach the OCI spec: exact names or `prefix*`. */
  readonly allowedAnnotations: readonly string[]
  /** Words of mount options that the handler knows. Absent: all that CRI's mount_options may have. */
  readonly mountOptions?: ReadonlySet<string>
  /** Image volumes: host directories made for them, by container path. */
  readonly volumes: ReadonlyMap<string, string>
  /** CRI image volumes (`mounts[].image`): the host directory with the image's content, sub path applied, by container_path as sent. */
  readonly imageMounts?: ReadonlyMap<string, string>
  /** What its CDI devices ask for (`resolveCdi`). */
  readonly cdi?: CdiEdits
  /** What a container without wishes gets, `CAP_…`. Absent: `defaultCapabilities`. */
  readonly defaultCapabilities?: readonly string[]
  /** When the request names no seccomp profile at all. Absent: `runtimeDefault`. */
  readonly unsetSeccomp?: 'runtimeDefault' | 'unconfined'
  /** The handler's containers have a kernel of their own. Absent: no. */
  readonly sandboxed?: boolean
  /** The handler's program is crun 1.7 or later, which takes the default profile's filter ready made. Absent: no. */
  readonly compiledSeccomp?: boolean
  /** Where the kernel has AppArmor: our own profile, and every loaded one. */
  readonly apparmor?: { readonly defaultProfile: string; readonly loaded: ReadonlySet<string> }
  /** Where SELinux is enabled: the labels chosen for this container. */
  readonly selinux?: { readonly processLabel: string; readonly mountLabel: string }
  /** resolv.conf, hostname and hosts may be written by containers without a read-only root. Absent: no. */
  readonly writablePodFiles?: boolean
}
