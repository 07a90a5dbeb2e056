// The init of a shared PID namespace: a tiny program of the host, alone in an empty root.
import type { RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { noCapabilities } from './capabilities.ts'
import { cgroupsPath } from './cgroup-path.ts'
import { defaultMaskedPaths, defaultReadonlyPaths } from './masks.ts'
import { parseId } from './numbers.ts'
import { oomScoreAdj } from './resources.ts'
import { rlimits } from './rlimits.ts'
import { seccompAnnotation } from './seccomp-annotation.ts'
import { defaultSeccomp } from './seccomp-default.ts'
import type { SelinuxLabels } from './selinux.ts'
import type { HostFacts, PodFacts } from './spec-input.ts'
import { checkMapped, podMappings } from './user-namespace.ts'

export interface InfraInput {
  readonly id: string
  readonly pod: PodFacts
  readonly host: HostFacts
  /** An empty directory. The runtime makes mount points in it. */
  readonly rootfsPath: string
  /** catatonit, statically linked: absolute path on the host. */
  readonly initProgram: string
  /** As `SpecInput.compiledSeccomp`. */
  readonly compiledSeccomp?: boolean
  /** A loaded AppArmor profile. */
  readonly apparmorProfile?: string
  /** As `SpecInput.selinux`. */
  readonly selinux?: SelinuxLabels
}

// No user of the host or of images; what peers' pause containers run as.
const anyNobody = 65535

/** Reaps and waits until it is told to end, with no capabilities, no files but its own program, and a seccomp filter. */
export function infraSpec(input: InfraInput): RuntimeSpec {
  const { pod, host } = input
  const security = pod.config.linux?.securityContext
  const mappings = podMappings(pod.config)
  const field = 'config.linux.security_context'
  const size = mappings?.uids[0]?.size
  const nobody = size === undefined ? anyNobody : Math.min(anyNobody, size - 1)
  const uid = security?.runAsUser === undefined ? nobody : parseId(`${field}.run_as_user`, security.runAsUser.value)
  const gid = security?.runAsGroup === undefined ? uid : parseId(`${field}.run_as_group`, security.runAsGroup.value)
  checkMapped(mappings, { uid, gids: [gid] })
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid, gid, umask: 0o77, additionalGids: [gid] },
      args: ['/init', '-P'],
      env: ['PATH=/'],
      cwd: '/',
      capabilities: noCapabilities,
      rlimits: rlimits(host.nofile),
      noNewPrivileges: true,
      ...(input.selinux === undefined ? {} : { selinuxLabel: input.selinux.processLabel }),
      ...(input.apparmorProfile === undefined ? {} : { apparmorProfile: input.apparmorProfile }),
      // Its end would end every process of the pod, so it is the last to be chosen when memory runs out.
      oomScoreAdj: host.lowerOomScore ? -998 : oomScoreAdj(undefined, host).value,
    },
    root: { path: input.rootfsPath, readonly: true },
    mounts: [
      { type: 'proc', source: 'proc', destination: '/proc', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      { type: 'tmpfs', source: 'tmpfs', destination: '/dev', options: ['nosuid', 'noexec', 'mode=755', 'size=64k'] },
      { type: 'bind', source: input.initProgram, destination: '/init', options: ['bind', 'rprivate', 'nosuid', 'nodev', 'ro'] },
    ],
    annotations: {
      'coracle.container.pod': pod.id,
      ...(host.seccomp && input.compiledSeccomp === true ? seccompAnnotation([]) : {}),
    },
    linux: {
      namespaces: [
        { type: 'mount' },
        { type: 'pid' },
        ...(pod.netnsPath === undefined ? [] : [{ type: 'network', path: pod.netnsPath } as const]),
        ...(pod.ipcnsPath === undefined ? [] : [{ type: 'ipc', path: pod.ipcnsPath } as const]),
        ...(pod.utsnsPath === undefined ? [] : [{ type: 'uts', path: pod.utsnsPath } as const]),
        ...(host.cgroupMode === 'v2' ? [{ type: 'cgroup' } as const] : []),
        ...(pod.usernsPath === undefined ? [] : [{ type: 'user', path: pod.usernsPath } as const]),
      ],
      ...(mappings === undefined ? {} : { uidMappings: mappings.uids, gidMappings: mappings.gids }),
      cgroupsPath: cgroupsPath(pod.cgroupParent, input.id, host),
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      ...(host.seccomp ? { seccomp: defaultSeccomp([]) } : {}),
      ...(input.selinux === undefined ? {} : { mountLabel: input.selinux.mountLabel }),
      maskedPaths: defaultMaskedPaths,
      readonlyPaths: defaultReadonlyPaths,
    },
  }
}
