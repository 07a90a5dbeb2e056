// What must be known of a container's processes after the daemon was killed, written before they do anything.
import { readFileSync } from 'node:fs'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { unlessErrno } from '@coracle/base/errno'
import { isObject } from '@coracle/base/parse-json'
import type { ProcessIdentity } from '@coracle/host'
import type { RuntimeContext } from './context.ts'
import { filesOf } from './files.ts'
import type { ContainerPaths } from './oci-runtime.ts'

export interface ContainerRecord {
  /** The boot in which the processes live; pids of another boot mean nothing. */
  readonly boot: string
  readonly monitor: ProcessIdentity | undefined
  readonly init: ProcessIdentity | undefined
  /** Relative to the hierarchy roots. */
  readonly cgroup: string | undefined
  /** Whether the runtime has to run hooks when the container is deleted. */
  readonly hooks: boolean
  readonly logPath: string | undefined
}

export function writeRecord(paths: ContainerPaths, record: ContainerRecord): void {
  const text = JSON.stringify(record, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
  writeFileAtomic(filesOf(paths).record, text)
}

/** Undefined when there is none, or it cannot be read. Its processes are left out when they are of another boot. */
export function readRecord(ctx: RuntimeContext, paths: ContainerPaths): ContainerRecord | undefined {
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(filesOf(paths).record, 'utf8'), undefined)
  const record = text === undefined ? undefined : parseRecord(text)
  if (record === undefined) return undefined
  if (record.boot !== ctx.deps.processes.bootId()) return { ...record, monitor: undefined, init: undefined }
  return record.init === undefined ? { ...record, init: initFromPidFile(ctx, paths, record) } : record
}

export function parseRecord(text: string): ContainerRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Half-written by a full disk: as good as absent.
    return undefined
  }
  if (!isObject(value) || typeof value['boot'] !== 'string') return undefined
  return {
    boot: value['boot'],
    monitor: parseIdentity(value['monitor']),
    init: parseIdentity(value['init']),
    cgroup: typeof value['cgroup'] === 'string' ? value['cgroup'] : undefined,
    hooks: value['hooks'] === true,
    logPath: typeof value['logPath'] === 'string' ? value['logPath'] : undefined,
  }
}

export function parseIdentity(value: unknown): ProcessIdentity | undefined {
  if (!isObject(value) || typeof value['pid'] !== 'number' || typeof value['startTime'] !== 'string') return undefined
  return /^\d+$/.test(value['startTime']) ? { pid: value['pid'], startTime: BigInt(value['startTime']) } : undefined
}

// The daemon was killed while the monitor created the container. The pid file has no start time, so the process must
// also be in the container's own cgroup.
function initFromPidFile(ctx: RuntimeContext, paths: ContainerPaths, record: ContainerRecord): ProcessIdentity | undefined {
  const { processes, cgroups } = ctx.deps
  const pid = readPidFile(filesOf(paths).pid)
  const identity = pid === undefined ? undefined : processes.identify(pid)
  if (identity === undefined || record.cgroup === undefined) return undefined
  const actual = cgroups.pathOf(identity.pid)
  return actual === record.cgroup || actual?.startsWith(`${record.cgroup}/`) ? identity : undefined
}

/** Undefined while it is absent or incomplete. */
export function readPidFile(path: string): number | undefined {
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(path, 'latin1'), '')
  return /^\d+\s*$/.test(text) ? Number.parseInt(text, 10) : undefined
}
