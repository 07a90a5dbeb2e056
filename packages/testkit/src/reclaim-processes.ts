// Which processes belong to a dead owner. The machine is shared with people: a shell that happens to stand in a directory of ours is theirs.
import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { readLink, readText } from './may-be-gone.ts'
import { ownerName } from './owner.ts'

export interface Traces {
  /** `NAME=VALUE` in the environment of what the owner started. */
  readonly marker: string
  readonly directories: readonly string[]
  /** Of pods and containers. */
  readonly ids: ReadonlySet<string>
  /** Absolute paths of cgroups. */
  readonly cgroups: readonly string[]
}

/** What daemons start with an environment of its own; a mention of our directory in its words is then proof enough. */
const started = [
  'node',
  'conmon',
  'crun',
  'runc',
  'runsc',
  'runsc-sandbox',
  'runsc-gofer',
  'catatonit',
  'containerd-shim-runc-v2',
]

/** Owner names with command lines. Never this process or one it descends from. */
export function findProcesses(traces: Traces): ReadonlyMap<string, string> {
  const inGroups = new Set(traces.cgroups.flatMap((path) => readText(`${path}/cgroup.procs`).split('\n')).filter(Boolean))
  const spared = new Set(lineage(process.pid))
  const found = new Map<string, string>()
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || spared.has(Number(pid))) continue
    if (!inGroups.has(pid) && !isOurs(pid, traces)) continue
    const owner = ownerName(Number(pid))
    if (owner !== undefined) found.set(owner, readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim().slice(0, 200))
  }
  return found
}

function isOurs(pid: string, { marker, directories, ids }: Traces): boolean {
  if (readText(`/proc/${pid}/environ`).split('\0').includes(marker)) return true
  if ((readText(`/proc/${pid}/cgroup`).match(/[0-9a-f]{64}/g) ?? []).some((id) => ids.has(id))) return true
  if (!started.includes(basename(readLink(`/proc/${pid}/exe`)))) return false
  const words = `${readText(`/proc/${pid}/cmdline`)}\0${readLink(`/proc/${pid}/cwd`)}\0`
  return directories.some((path) => words.includes(`${path}/`) || words.includes(`${path}\0`))
}

function lineage(pid: number): number[] {
  const parent = Number(/^PPid:\s+(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1] ?? 0)
  return parent === 0 ? [pid] : [pid, ...lineage(parent)]
}
