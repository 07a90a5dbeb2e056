// The thread that answers goes before what it starts: programs, their plugins, its own helpers.
import { getPriority } from 'node:os'
import { libc } from './libc.ts'

const SCHED_OTHER = 0
// sched_setattr(2): what a thread with this starts begins with nice value 0 and the usual slice.
const SCHED_FLAG_RESET_ON_FORK = 0x01n
const attributesBytes = 48
const favoured = -10
/**
 * How long it means to run at a time. Since Linux 6.12 who asks for less is let in before the slice of others is over; older kernels take the
 * value and leave it unused.
 */
const sliceNs = 200_000n

/**
 * Lowers nice value and time slice of the calling thread alone; threads and programs that it starts do not inherit that. Leaves a nice value or
 * policy that somebody has chosen. False when the kernel does not allow it (no CAP_SYS_NICE): then the slice alone is lowered.
 */
export function favourThisThread(): boolean {
  if (getPriority() !== 0 || libc.schedGetScheduler(0) !== SCHED_OTHER) return true
  if (schedule(favoured)) return true
  schedule(0)
  return false
}

function schedule(nice: number): boolean {
  const attributes = Buffer.alloc(attributesBytes)
  attributes.writeUInt32LE(attributesBytes, 0)
  attributes.writeUInt32LE(SCHED_OTHER, 4)
  attributes.writeBigUInt64LE(SCHED_FLAG_RESET_ON_FORK, 8)
  attributes.writeInt32LE(nice, 16)
  attributes.writeBigUInt64LE(sliceNs, 24)
  return libc.schedSetAttributes(0, attributes) === 0
}
