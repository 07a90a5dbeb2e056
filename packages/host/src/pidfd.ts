// Signals by pidfd: opened first, identity checked after, so that a reused pid is never hit (pidfd_open(2)).
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import type { ProcessIdentity } from './host.ts'
import { callFailed, errno, libc, SYS } from './libc.ts'
import { isAlive } from './proc.ts'

/** A pidfd of exactly this process, close-on-exec, ours to close; undefined when it is gone. */
export function openPidfd(process: ProcessIdentity): number | undefined {
  const fd = libc.syscall(SYS.pidfdOpen, process.pid, 0, 0, 0)
  if (fd < 0) {
    const number = errno()
    // EINVAL: the pid is a thread now, so the process is gone.
    if (number === constants.errno.ESRCH || number === constants.errno.EINVAL) return undefined
    throw callFailed(`open a pidfd of process ${process.pid}`, number)
  }
  if (isAlive(process)) return fd
  closeSync(fd)
  return undefined
}

export function sendSignal(process: ProcessIdentity, signal: number): boolean {
  const fd = openPidfd(process)
  if (fd === undefined) return false
  try {
    if (libc.syscall(SYS.pidfdSendSignal, fd, signal, 0, 0) === 0) return true
    const number = errno()
    if (number === constants.errno.ESRCH) return false
    throw callFailed(`send signal ${signal} to process ${process.pid}`, number)
  } finally {
    closeSync(fd)
  }
}
