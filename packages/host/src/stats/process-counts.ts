import { readdirSync, readlinkSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { ProcessCounts } from './door.ts'
import { readSmall } from './read-small.ts'

const gone = ['ENOENT', 'ESRCH', 'EACCES', 'ENOTDIR']

/** More open files than this of one process are counted without a look at what they are. */
const maxLooked = 1024

export function countProcesses(pids: readonly number[]): ProcessCounts {
  let fileDescriptors = 0
  let sockets = 0
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`
    const fds = unlessErrno(gone, () => readdirSync(directory), [])
    fileDescriptors += fds.length
    for (const fd of fds.slice(0, maxLooked))
      if (unlessErrno(gone, () => readlinkSync(`${directory}/${fd}`), '').startsWith('socket:')) sockets++
  }
  return { processes: pids.length, fileDescriptors, sockets }
}

export function openFilesLimit(pid: number): number | undefined {
  const match = /^Max open files +(\d+) /m.exec(readSmall(`/proc/${pid}/limits`) ?? '')
  return match === null ? undefined : Number(match[1])
}
