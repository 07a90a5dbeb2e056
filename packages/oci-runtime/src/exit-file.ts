import { readFileSync, statSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { RuntimeContext } from './context.ts'
import { filesOf } from './files.ts'
import type { ContainerPaths, Exit } from './oci-runtime.ts'
import { wasOomKilled } from './oom.ts'
import { readRecord } from './record.ts'

/** Undefined unless `text` is what conmon writes: a status from 0 to 255, or -1 when it could not tell. */
export function parseExitCode(text: string): number | undefined {
  const trimmed = text.trim()
  if (!/^-?\d{1,10}$/.test(trimmed)) return undefined
  const code = Number(trimmed)
  return code >= 0 && code <= 255 ? code : 255
}

/** The monitor renames the file into place, so it is never seen half-written; its time is the end of the container. */
export function readExit(ctx: RuntimeContext, paths: ContainerPaths): Exit | undefined {
  const { exit } = filesOf(paths)
  const absent = ['ENOENT', 'ENOTDIR']
  const text = unlessErrno(absent, () => readFileSync(exit, 'latin1'), undefined)
  const stat = text === undefined ? undefined : unlessErrno(absent, () => statSync(exit, { bigint: true }), undefined)
  const exitCode = text === undefined ? undefined : parseExitCode(text)
  if (exitCode === undefined || stat === undefined) return undefined
  return { exitCode, finishedAt: stat.mtimeNs, oomKilled: wasOomKilled(ctx, paths, readRecord(ctx, paths)) }
}
