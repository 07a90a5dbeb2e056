// Processes as /proc shows them. A process is named by pid and start time, because pids come back.
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { failed } from '@coracle/base/errors'
import type { ProcessIdentity } from './host.ts'

export interface ProcessStat extends ProcessIdentity {
  /** One letter of proc_pid_stat(5): `R`, `S`, `D`, `Z`, `X`, … */
  readonly state: string
  readonly parent: number
  readonly session: number
}

/** Parses /proc/PID/stat. The command name may hold blanks and parentheses: the last `)` ends it. */
export function parseStat(text: string): ProcessStat {
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  // Field 3 of proc_pid_stat(5) is first here.
  return {
    pid: Number.parseInt(text, 10),
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startTime: BigInt(fields[19] ?? '0'),
  }
}

/** Undefined when there is no such process. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ESRCH')) return undefined
    throw err
  }
}

const hasEnded = (state: string): boolean => state === 'Z' || state === 'X' || state === 'x'

export function identify(pid: number): ProcessIdentity | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  const stat = statOf(pid)
  return stat === undefined || hasEnded(stat.state) ? undefined : { pid, startTime: stat.startTime }
}

export const isAlive = (process: ProcessIdentity): boolean => identify(process.pid)?.startTime === process.startTime

/** Descendants of `pid` in `all`, and whoever belongs to a session that one of them (or `pid`) leads. Without `pid`. */
export function descendantsAmong(pid: number, all: readonly ProcessStat[]): readonly ProcessStat[] {
  const found = new Set<number>([pid])
  for (let before = 0; before !== found.size; ) {
    before = found.size
    for (const stat of all) if (found.has(stat.parent) || found.has(stat.session)) found.add(stat.pid)
  }
  return all.filter((stat) => stat.pid !== pid && found.has(stat.pid))
}

export function descendants(pid: number): readonly ProcessIdentity[] {
  const all = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? [])
  return descendantsAmong(pid, all)
    .filter((stat) => !hasEnded(stat.state))
    .map((stat) => ({ pid: stat.pid, startTime: stat.startTime }))
}

let boot: string | undefined

export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return boot
}

/** From SigBlk, SigCgt and NSpid of /proc/PID/status (proc(5)). */
export function receives(pid: number, signal: number): boolean {
  // Nobody can refuse these two.
  if (signal === constants.signals.SIGKILL || signal === constants.signals.SIGSTOP) return true
  const status = unlessErrno(['ENOENT', 'ESRCH'], () => readFileSync(`/proc/${pid}/status`, 'latin1'), undefined)
  if (status === undefined) return true
  if (!/^NSpid:.*\s1$/m.test(status)) return true
  const mask = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s+([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`)
  return (((mask('SigBlk') | mask('SigCgt')) >> BigInt(signal - 1)) & 1n) === 1n
}

export function setOomScoreAdj(process: ProcessIdentity, value: number): boolean {
  try {
    // Opened first, identity checked after: the file stays that of one process.
    const fd = openSync(`/proc/${process.pid}/oom_score_adj`, 'w')
    try {
      if (!isAlive(process)) return false
      writeSync(fd, String(value))
      return true
    } finally {
      closeSync(fd)
    }
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ESRCH')) return false
    throw failed(`set oom_score_adj of process ${process.pid} to ${value}`, err)
  }
}
