import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { unlessErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { capabilityNames, kernelIsAtLeast, maskOf } from './features.ts'
import type { Cgroups } from './host.ts'
import type { Finding } from './preflight.ts'

export function checkKernel(): readonly Finding[] {
  const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'].filter((kind) => !existsSync(`/proc/self/ns/${kind}`))
  return [
    // openat2 5.6, statx mount attributes 5.8.
    kernelIsAtLeast(5, 8)
      ? ok('kernel', `Linux ${release()}`)
      : missing('kernel', `Linux ${release()} is older than 5.8`, 'update the kernel'),
    /\boverlay$/m.test(readFileSync('/proc/filesystems', 'latin1'))
      ? ok('overlay file system', 'available')
      : missing('overlay file system', 'not known to the kernel', 'modprobe overlay, and list it in /etc/modules-load.d'),
    namespaces.length === 0
      ? ok('namespaces', 'all kinds')
      : missing('namespaces', `kinds without support: ${namespaces.join(', ')}`, 'use a kernel with namespaces'),
    /^Seccomp:/m.test(readFileSync('/proc/self/status', 'latin1'))
      ? ok('seccomp', 'available')
      : missing('seccomp', 'not supported by the kernel', 'use a kernel with CONFIG_SECCOMP_FILTER'),
    kernelIsAtLeast(5, 19)
      ? ok('idmapped mounts', 'available for overlay')
      : warning('idmapped mounts', 'overlay takes them from Linux 5.19 on', 'update the kernel to run pods with user namespaces'),
    kernelIsAtLeast(5, 12)
      ? ok('recursive read-only mounts', 'available')
      : warning('recursive read-only mounts', 'they need Linux 5.12', 'update the kernel'),
  ]
}

export function checkCgroups(cgroups: Cgroups): readonly Finding[] {
  try {
    const { mode, controllers, swapAccounting } = cgroups
    const absent = ['cpu', 'cpuset', 'memory', 'pids'].filter((name) => !controllers.has(name))
    return [
      mode === 'v2'
        ? ok('cgroups', 'v2')
        : warning(
            'cgroups',
            `${mode}: newer kubelets refuse it unless failCgroupV1 is false`,
            'boot with systemd.unified_cgroup_hierarchy=1',
          ),
      absent.length === 0
        ? ok('cgroup controllers', [...controllers].toSorted().join(' '))
        : missing('cgroup controllers', `not available: ${absent.join(', ')}`, 'enable them on the kernel command line'),
      swapAccounting
        ? ok('swap accounting', 'available')
        : warning('swap accounting', 'swap cannot be limited', 'boot with swapaccount=1 if there is swap'),
    ]
  } catch (err) {
    return [missing('cgroups', explain(err), 'mount the cgroup file systems at /sys/fs/cgroup')]
  }
}

const needed = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_ADMIN',
  'SETFCAP',
  'SETGID',
  'SETUID',
  'SYS_ADMIN',
  'SYS_CHROOT',
  'SYS_PTRACE',
]

export function checkCapabilities(): readonly Finding[] {
  const held = new Set(capabilityNames(maskOf(readFileSync('/proc/self/status', 'latin1'), 'CapEff')))
  const absent = needed.filter((name) => !held.has(`CAP_${name}`))
  const uid = process.getuid?.()
  return [
    uid === 0 ? ok('user', 'root') : missing('user', `uid ${uid}`, 'run as root'),
    absent.length === 0
      ? ok('capabilities', 'all that are needed')
      : missing('capabilities', `not held: ${absent.map((name) => `CAP_${name}`).join(', ')}`, 'give them to the service'),
    held.has('CAP_SYS_RESOURCE')
      ? ok('oom score', 'may be lowered')
      : warning(
          'oom score',
          'cannot be lowered below that of this process: CAP_SYS_RESOURCE is not held',
          'give CAP_SYS_RESOURCE to the service',
        ),
  ]
}

export function checkNetworkSysctls(): readonly Finding[] {
  const bridge = 'net.bridge.bridge-nf-call-iptables'
  const bridged = sysctl('net/bridge/bridge-nf-call-iptables')
  return [
    sysctl('net/ipv4/ip_forward') === '1'
      ? ok('IPv4 forwarding', 'on')
      : missing('IPv4 forwarding', 'off: pods reach nothing beyond this node', 'sysctl net.ipv4.ip_forward=1'),
    bridged === undefined
      ? warning('bridge filtering', 'br_netfilter is not loaded: services are not reached over bridges', 'modprobe br_netfilter')
      : bridged === '1'
        ? ok('bridge filtering', 'on')
        : warning('bridge filtering', `${bridge} is ${bridged}`, `sysctl ${bridge}=1`),
  ]
}

const sysctl = (path: string): string | undefined =>
  unlessErrno(['ENOENT'], () => readFileSync(`/proc/sys/${path}`, 'latin1').trim(), undefined)

const ok = (check: string, detail: string): Finding => ({ check, state: 'ok', detail })
const warning = (check: string, detail: string, remedy: string): Finding => ({ check, state: 'warning', detail, remedy })
const missing = (check: string, detail: string, remedy: string): Finding => ({ check, state: 'missing', detail, remedy })
