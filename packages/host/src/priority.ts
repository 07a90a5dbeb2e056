// The thread that answers goes before what it starts: programs, their plugins, its own helpers.
import { getPriority, setPriority } from 'node:os'
import { libc } from './libc.ts'

const SCHED_OTHER = 0
// sched(7): what a thread with this starts begins with nice value 0.
const SCHED_RESET_ON_FORK = 0x40000000
const favoured = -10

/**
 * Lowers the nice value of the calling thread alone; threads and programs that it starts do not inherit that. Leaves a value that somebody
 * has chosen. False when the kernel does not allow it (no CAP_SYS_NICE).
 */
export function favourThisThread(): boolean {
  if (getPriority() !== 0) return true
  // First: nothing may be started in between.
  if (libc.schedSetScheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, new Int32Array(1)) !== 0) return false
  try {
    setPriority(favoured)
    return true
  } catch {
    return false
  }
}
