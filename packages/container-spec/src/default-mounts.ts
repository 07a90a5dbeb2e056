// What every container has mounted before CRI's own mounts are laid over it (hazards H-40, H-41, H-49).
import type { SpecMount } from '@coracle/oci-spec/runtime-spec'
import type { SpecInput } from './spec-input.ts'
import type { UserMappings } from './user-namespace.ts'

/** proc, dev, sys and the pod's own files. A user namespace that does not own the network or IPC namespace cannot mount their file systems. */
export function defaultMounts(input: SpecInput, mappings: UserMappings | undefined): readonly SpecMount[] {
  const { pod } = input
  const privileged = input.config.linux?.securityContext?.privileged === true
  const access = privileged ? 'rw' : 'ro'
  const owns = (path: string | undefined): boolean => mappings === undefined || path !== undefined
  // gid 5 is tty on every distribution; a mapping too short for it cannot name it.
  const tty = (mappings?.gids[0]?.size ?? 6) > 5 ? ['gid=5'] : []
  // They and /dev/shm were made with the pod's root as their owner: nothing is to be mapped.
  const podFile = (source: string, destination: string): SpecMount =>
    bind(source, destination, ['bind', 'rprivate', 'nosuid', 'nodev', podFileAccess(input)])
  return [
    { type: 'proc', source: 'proc', destination: '/proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      type: 'tmpfs',
      source: 'tmpfs',
      destination: '/dev',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      type: 'devpts',
      source: 'devpts',
      destination: '/dev/pts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...tty],
    },
    // The host's would show the host's queues; the system calls work without.
    ...(owns(pod.ipcnsPath)
      ? [{ type: 'mqueue', source: 'mqueue', destination: '/dev/mqueue', options: ['nosuid', 'noexec', 'nodev'] }]
      : []),
    bind(pod.shmPath, '/dev/shm', ['bind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'rw']),
    owns(pod.netnsPath)
      ? { type: 'sysfs', source: 'sysfs', destination: '/sys', options: ['nosuid', 'noexec', 'nodev', access] }
      : // Without what is mounted below, which `ro` would not reach.
        bind('/sys', '/sys', ['bind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'ro']),
    {
      type: 'cgroup',
      source: 'cgroup',
      destination: '/sys/fs/cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', access],
    },
    podFile(pod.resolvConfPath, '/etc/resolv.conf'),
    podFile(pod.hostnamePath, '/etc/hostname'),
    podFile(pod.hostsPath, '/etc/hosts'),
  ]
}

// They lie in the daemon's state directory: a container that could write them could fill it for all (docs/decisions/0103-pod-files-read-only.md).
const podFileAccess = (input: SpecInput): 'ro' | 'rw' => {
  const security = input.config.linux?.securityContext
  return input.writablePodFiles === true && security?.readonlyRootfs !== true ? 'rw' : 'ro'
}

const bind = (source: string, destination: string, options: readonly string[]): SpecMount => ({
  type: 'bind',
  source,
  destination,
  options,
})
