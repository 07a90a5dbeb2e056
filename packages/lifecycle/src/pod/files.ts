import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostsFile, resolvConf } from '@coracle/container-spec'
import { podLayout } from '../layout.ts'
import { isHostIpc, isHostNetwork, type Pod } from '../model/pod.ts'
import { contextOption, podLabels } from '../selinux/labels.ts'
import type { Services } from '../services.ts'
import { podRoot } from './user-namespace.ts'

/** Size of a pod's /dev/shm, the value kubelet's documentation promises. */
const shmBytes = 64 * 1024 * 1024

/** The directory of a pod and what containers get bind-mounted from it. World-readable: containers run as any user. */
export function makePodFiles(services: Services, pod: Pod, hostname: string): void {
  const layout = podLayout(services.settings, pod.id)
  const { uid, gid } = podRoot(pod.config)
  mkdirSync(layout.directory, { recursive: true, mode: 0o711 })
  writePodFile(layout.resolvConf, resolvConf(pod.config.dnsConfig, readHostFile('/etc/resolv.conf')), { services, pod })
  writePodFile(layout.hostname, `${hostname}\n`, { services, pod })
  if (isHostIpc(pod.config)) return
  mkdirSync(layout.shm, { recursive: true, mode: 0o1777 })
  services.host.mounts.mount({
    type: 'tmpfs',
    source: 'shm',
    destination: layout.shm,
    options: [
      ...['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${shmBytes}`],
      ...(uid === 0 ? [] : [`uid=${uid}`, `gid=${gid}`]),
      ...contextOption(podLabels(services, pod)),
    ],
  })
}

/** For containers whose caller mounts no /etc/hosts of its own. */
export function writeHostsFile(services: Services, pod: Pod, hostname: string): void {
  const text = isHostNetwork(pod.config) ? readHostFile('/etc/hosts') : hostsFile(pod.network?.ips ?? [], hostname)
  writePodFile(podLayout(services.settings, pod.id).hosts, text, { services, pod })
}

function writePodFile(path: string, text: string, { services, pod }: { services: Services; pod: Pod }): void {
  writeFileSync(path, text, { mode: 0o644 })
  const { uid, gid } = podRoot(pod.config)
  if (uid !== 0) chownSync(path, uid, gid)
  const labels = podLabels(services, pod)
  if (labels !== undefined) services.selinux?.setLabel(path, labels.mountLabel)
}

function readHostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
