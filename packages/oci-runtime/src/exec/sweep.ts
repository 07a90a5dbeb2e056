import { readFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { ProcessIdentity } from '@coracle/host'
import type { RuntimeContext } from '../context.ts'
import type { ContainerPaths } from '../oci-runtime.ts'
import { parseIdentity, readPidFile, readRecord } from '../record.ts'
import { type ExecFiles, listExecs, removeExecFiles } from './files.ts'
import { killInside } from './session.ts'
import { endTree, stdioOf } from './tree.ts'

/** Ends what is on record of execs and removes the record. An exec of this very daemon is ended too. */
export async function sweepExecs(ctx: RuntimeContext, paths: ContainerPaths): Promise<void> {
  for (const files of listExecs(paths)) {
    if (ctx.kind === 'runsc') await killInside(ctx, paths, files)
    const root = execProcess(ctx, paths, files)
    const owner = readOwner(files)
    const cgroup = readRecord(ctx, paths)?.cgroup
    if (root !== undefined) await endTree(ctx.deps, { root, cgroup, stdio: new Set(stdioOf(root.pid)) }, false)
    if (owner !== undefined) await endTree(ctx.deps, { root: owner, cgroup: undefined, stdio: new Set() }, false)
    removeExecFiles(files)
  }
}

function readOwner(files: ExecFiles): ProcessIdentity | undefined {
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(files.owner, 'utf8'), '')
  try {
    return parseIdentity(JSON.parse(text))
  } catch {
    return undefined
  }
}

// A pid file has no start time: the process counts only while it is in the container's cgroup.
function execProcess(ctx: RuntimeContext, paths: ContainerPaths, files: ExecFiles): ProcessIdentity | undefined {
  const pid = readPidFile(files.pid)
  const identity = pid === undefined ? undefined : ctx.deps.processes.identify(pid)
  const cgroup = readRecord(ctx, paths)?.cgroup
  if (identity === undefined || cgroup === undefined) return undefined
  const actual = ctx.deps.cgroups.pathOf(identity.pid)
  return actual === cgroup || actual?.startsWith(`${cgroup}/`) ? identity : undefined
}
