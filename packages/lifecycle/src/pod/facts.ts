import { hostname } from 'node:os'
import { join } from 'node:path'
import { type PodFacts, podHostname } from '@coracle/container-spec'
import { podLayout } from '../layout.ts'
import { isHostIpc, isHostNetwork, type Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { usernsPath } from './user-namespace.ts'

/** The pod's own things as the spec builder takes them. */
export function podFacts(services: Services, pod: Pod): PodFacts {
  const layout = podLayout(services.settings, pod.id)
  const hostNetwork = isHostNetwork(pod.config)
  const pinned = (kind: string) => join(layout.namespaces, kind)
  return {
    id: pod.id,
    config: pod.config,
    netnsPath: hostNetwork ? undefined : pinned('net'),
    utsnsPath: hostNetwork ? undefined : pinned('uts'),
    ipcnsPath: isHostIpc(pod.config) ? undefined : pinned('ipc'),
    usernsPath: usernsPath(services, pod),
    pidnsPath: pod.infraPid === undefined ? undefined : `/proc/${pod.infraPid}/ns/pid`,
    hostname: podHostname(pod.config, hostname()),
    resolvConfPath: layout.resolvConf,
    hostnamePath: layout.hostname,
    hostsPath: layout.hosts,
    shmPath: isHostIpc(pod.config) ? '/dev/shm' : layout.shm,
    cgroupParent: pod.cgroupParent,
  }
}
