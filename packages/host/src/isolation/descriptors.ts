// Open file descriptors of a process, and whether one leads out of its root (CVE-2024-21626).
import { readdirSync, readlinkSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { MountInfo } from '../host.ts'
import { readSmall } from '../stats/read-small.ts'
import type { OpenDescriptor } from './door.ts'

/** Descriptors shown at most: a program may have a million. */
const descriptorsMax = 1024

export function readDescriptors(procDirectory: string, mounts: readonly MountInfo[]): readonly OpenDescriptor[] {
  const own = new Set(mounts.map(({ id }) => id))
  const gone = ['ENOENT', 'ESRCH']
  const fds = unlessErrno(gone, () => readdirSync(`${procDirectory}/fd`), [])
    .map(Number)
    .toSorted((a, b) => a - b)
  return fds.slice(0, descriptorsMax).flatMap((fd) => {
    const target = unlessErrno(gone, () => readlinkSync(`${procDirectory}/fd/${fd}`), undefined)
    const info = readSmall(`${procDirectory}/fdinfo/${fd}`)
    return target === undefined || info === undefined ? [] : [describe(fd, target, { info, own })]
  })
}

const ACCESS = 0o3

function describe(fd: number, target: string, { info, own }: { info: string; own: ReadonlySet<number> }): OpenDescriptor {
  const access = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? '0', 8) & ACCESS
  const mount = Number(/^mnt_id:\s*(\d+)/m.exec(info)?.[1] ?? -1)
  return {
    fd,
    target,
    readable: access === 0 || access === 2,
    writable: access === 1 || access === 2,
    // Pipes, sockets and the like have no path, and lead nowhere.
    outside: target.startsWith('/') && !target.startsWith('/memfd:') && !own.has(mount),
  }
}
