// Memory and CPU time of a server and of what its pods cost, from /proc.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { payload } from './pods.ts'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
  readonly command: string
  readonly cgroups: string
}

/** The server with its helpers, and what is there only because of pods (monitors, shims, pause), the payload left out. */
export interface Attribution {
  readonly daemon: readonly number[]
  readonly overhead: readonly number[]
  /** How many processes of each name the overhead consists of. */
  readonly names: Readonly<Record<string, number>>
}

/** `ids` of pods and containers: they stand in the command lines or cgroups of what belongs to them. */
export function attribute(daemonPid: number, ids: readonly string[]): Attribution {
  const processes = listProcesses()
  const byPid = new Map(processes.map((process) => [process.pid, process]))
  const marks = new RegExp(ids.length === 0 ? '$^' : ids.join('|'))
  const ofPods = new Set(
    processes.filter(({ command, cgroups }) => marks.test(command) || marks.test(cgroups)).map(({ pid }) => pid),
  )
  const has = (pid: number, belongs: (pid: number) => boolean): boolean => {
    for (let at = byPid.get(pid); at !== undefined && at.pid > 1; at = byPid.get(at.parent)) if (belongs(at.pid)) return true
    return false
  }
  const overhead = processes.filter(({ pid, command }) => {
    if (pid === daemonPid || command.includes(payload.join(' '))) return false
    return has(pid, (at) => ofPods.has(at))
  })
  const apart = new Set(overhead.map(({ pid }) => pid))
  const daemon = processes.filter(({ pid, command }) => {
    return !apart.has(pid) && !command.includes(payload.join(' ')) && has(pid, (at) => at === daemonPid)
  })
  const names: Record<string, number> = {}
  for (const { name } of overhead) names[name] = (names[name] ?? 0) + 1
  return { daemon: daemon.map(({ pid }) => pid), overhead: overhead.map(({ pid }) => pid), names }
}

// /proc counts in KiB.
const mbPerKib = 1.024e-3

/** Resident set in MB (10^6 bytes), of all the processes. */
export function rssMb(pids: readonly number[]): number {
  return sum(pids.map((pid) => kilobytes(`/proc/${pid}/status`, 'VmRSS'))) * mbPerKib
}

/** Proportional set in MB: shared pages count in parts. */
export function pssMb(pids: readonly number[]): number {
  return sum(pids.map((pid) => kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss'))) * mbPerKib
}

/** User and system time so far, in seconds, children that ended included. */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(pids.map((pid) => sum(statFields(pid).slice(11, 15).map(Number)))) / ticksPerSecond
}

/** The share of all processors that is busy during the next `ms` milliseconds, 0 to 1. */
export async function busyShare(ms: number): Promise<number> {
  const before = cpuTimes()
  await sleep(ms)
  const after = cpuTimes()
  return (after.busy - before.busy) / (after.total - before.total)
}

/** The process that listens on a unix socket, or undefined. */
export function listenerPid(socket: string): number | undefined {
  const line = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .find((candidate) => candidate.endsWith(` ${socket}`) && candidate.split(/\s+/)[3] === '00010000')
  const inode = line?.trim().split(/\s+/)[6]
  if (inode === undefined) return undefined
  return pids().find((pid) =>
    quietly(() => readdirSync(`/proc/${pid}/fd`), []).some(
      (fd) => quietly(() => readlinkSync(`/proc/${pid}/fd/${fd}`), '') === `socket:[${inode}]`,
    ),
  )
}

// USER_HZ is 100 on every architecture that Linux has today.
const ticksPerSecond = 100

/** The first line of /proc/stat in ticks: idle and iowait are its fourth and fifth figures. */
function cpuTimes(): { readonly busy: number; readonly total: number } {
  const figures = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').trim().split(/\s+/).slice(1, 9).map(Number)
  const total = sum(figures)
  return { total, busy: total - (figures[3] ?? 0) - (figures[4] ?? 0) }
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

function listProcesses(): Process[] {
  return pids().flatMap((pid) =>
    quietly(() => {
      const fields = statFields(pid)
      // Zombies use nothing.
      if (fields[0] === 'Z') return []
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
      return [{ pid, parent: Number(fields[1]), name, command, cgroups: readFileSync(`/proc/${pid}/cgroup`, 'utf8') }]
    }, []),
  )
}

/** /proc/PID/stat from the third field (state) on. Empty when it is gone. */
function statFields(pid: number): string[] {
  const text = quietly(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function kilobytes(path: string, field: string): number {
  const text = quietly(() => readFileSync(path, 'utf8'), '')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
}

function quietly<T>(work: () => T, otherwise: T): T {
  try {
    return work()
  } catch {
    return otherwise
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
