import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { monotonicMs } from '@coracle/base/clock'
import { unlessErrno } from '@coracle/base/errno'
import type { ProcessCounts } from './door.ts'
import { readSmall } from './read-small.ts'

const gone = ['ENOENT', 'ESRCH', 'EACCES', 'ENOTDIR']

/** More open files than this of all processes together are counted without a look at what they are. */
const maxLooked = 8192
/** The longest the event loop is held: a server with thousands of connections is nothing rare. */
const sliceMs = 8

export async function countProcesses(pids: readonly number[]): Promise<ProcessCounts> {
  let [fileDescriptors, sockets, looked] = [0, 0, 0]
  let until = monotonicMs() + sliceMs
  const breathe = async () => {
    await setImmediate()
    until = monotonicMs() + sliceMs
  }
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`
    const fds = unlessErrno(gone, () => readdirSync(directory), [])
    fileDescriptors += fds.length
    for (const fd of fds.slice(0, maxLooked - looked)) {
      if (unlessErrno(gone, () => readlinkSync(`${directory}/${fd}`), '').startsWith('socket:')) sockets++
      looked++
      if (monotonicMs() > until) await breathe()
    }
    if (monotonicMs() > until) await breathe()
  }
  return { processes: pids.length, fileDescriptors, sockets }
}

export function openFilesLimit(pid: number): number | undefined {
  const match = /^Max open files +(\d+) /m.exec(readSmall(`/proc/${pid}/limits`) ?? '')
  return match === null ? undefined : Number(match[1])
}
