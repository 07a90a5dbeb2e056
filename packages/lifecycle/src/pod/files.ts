import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostsFile, resolvConf } from '@coracle/container-spec'
import { podLayout } from '../layout.ts'
import { isHostIpc, isHostNetwork, type Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { podRoot } from './user-namespace.ts'

/** Size of a pod's /dev/shm, the value kubelet's documentation promises. */
const shmBytes = 64 * 1024 * 1024

/** The directory of a pod and what containers get bind-mounted from it. World-readable: containers run as any user. */
export function makePodFiles(services: Services, pod: Pod, hostname: string): void {
  const layout = podLayout(services.settings, pod.id)
  const { uid, gid } = podRoot(pod.config)
  mkdirSync(layout.directory, { recursive: true, mode: 0o711 })
  writePodFile(layout.resolvConf, resolvConf(pod.config.dnsConfig, readHostFile('/etc/resolv.conf')), pod)
  writePodFile(layout.hostname, `${hostname}\n`, pod)
  if (isHostIpc(pod.config)) return
  mkdirSync(layout.shm, { recursive: true, mode: 0o1777 })
  services.host.mounts.mount({
    type: 'tmpfs',
    source: 'shm',
    destination: layout.shm,
    options: ['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${shmBytes}`, ...(uid === 0 ? [] : [`uid=${uid}`, `gid=${gid}`])],
  })
}

/** For containers whose caller mounts no /etc/hosts of its own. */
export function writeHostsFile(path: string, pod: Pod, hostname: string): void {
  const text = isHostNetwork(pod.config) ? readHostFile('/etc/hosts') : hostsFile(pod.network?.ips ?? [], hostname)
  writePodFile(path, text, pod)
}

function writePodFile(path: string, text: string, pod: Pod): void {
  writeFileSync(path, text, { mode: 0o644 })
  const { uid, gid } = podRoot(pod.config)
  if (uid !== 0) chownSync(path, uid, gid)
}

function readHostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
