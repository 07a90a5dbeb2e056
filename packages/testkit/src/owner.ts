// Which process something belongs to, in words that stay true after it has ended: a pid alone may mean another one tomorrow.
import { readFileSync, readlinkSync } from 'node:fs'

/** `PID.START.PIDNS.BOOT`: pid, start time in ticks since boot, inode of the PID namespace, first digits of the boot id. */
export type OwnerName = string

/** Of a process of this PID namespace. Undefined when it is gone, or only its zombie is left. */
export function ownerName(pid: number): OwnerName | undefined {
  const start = startTicks(pid)
  return start === undefined ? undefined : [pid, start, pidNamespace(), boot()].join('.')
}

/** False only for what is certain: a process of another PID namespace may live unseen. */
export function mayLive(owner: OwnerName): boolean {
  const [pid, start, namespace, bootId] = owner.split('.')
  if (bootId !== boot()) return false
  if (namespace !== pidNamespace()) return true
  return startTicks(Number(pid)) === start
}

/** Field 22 of /proc/PID/stat, as text. Undefined when it is gone, or only its zombie is left. */
export function startTicks(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field, the name, may hold anything; the third is the state.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

const pidNamespace = (): string => /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''

const boot = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)
