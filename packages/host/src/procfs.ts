// Writes into /proc/sys that cannot be led astray.
import { closeSync, constants, openSync, statfsSync, writeSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { failed, invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

const PROC_SUPER_MAGIC = 0x9fa0

/**
 * The file of a sysctl. As with sysctl(8) the first separator decides: after a dot, `/` stands for a dot in a name
 * (`net.ipv4.conf.eth0/100.forwarding`). Throws `invalid_argument`.
 */
export function sysctlPath(key: string, root = '/proc/sys'): string {
  const byDots = key.search(/[./]/) === key.indexOf('.')
  const path = byDots ? key.replace(/[./]/g, (c) => (c === '.' ? '/' : '.')) : key
  const parts = path.split('/')
  if (parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..') || key.includes('\0'))
    throw invalid(`sysctl ${quote(key)} must be a name such as "net.ipv4.ip_forward"`)
  return `${root}/${path}`
}

/**
 * Writes a sysctl in the namespaces of the calling thread. Only to a file of a real proc file system. Throws `failed_precondition` when
 * there is no such setting, `invalid_argument` for a value that the kernel does not take.
 */
export function writeSysctl(key: string, value: string, root?: string): void {
  const path = sysctlPath(key, root)
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW)
    try {
      if (statfsSync(`/proc/self/fd/${fd}`).type !== PROC_SUPER_MAGIC) throw precondition(`${path} must be on a proc file system`)
      writeSync(fd, value)
    } finally {
      closeSync(fd)
    }
  } catch (err) {
    const title = `set sysctl ${key} to ${quote(value)}`
    if (isErrno(err, 'ENOENT')) throw precondition(`${title}: this kernel has no such setting there`)
    if (isErrno(err, 'EINVAL', 'ERANGE')) throw invalid(`${title}: the kernel does not take this value`)
    throw failed(title, err)
  }
}
