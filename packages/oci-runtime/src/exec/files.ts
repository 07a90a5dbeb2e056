// The files of running execs: what a later daemon needs to end them.
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { unlessErrno } from '@coracle/base/errno'
import { filesOf } from '../files.ts'
import type { ContainerPaths } from '../oci-runtime.ts'

export interface ExecFiles {
  readonly directory: string
  /** The process as runtime-spec describes it, read by the runtime. */
  readonly process: string
  /** Written by the runtime once the process runs. */
  readonly pid: string
  /** The pid in a sandbox's own numbers, of gVisor only. */
  readonly inside: string
  /** The identity of the runtime's (or monitor's) process. */
  readonly owner: string
  /** The runtime's own log, where it is needed. */
  readonly log: string
}

let serial = 0

export function newExecFiles(paths: ContainerPaths): ExecFiles {
  // Another daemon's leftovers may still be there.
  const files = execFiles(join(filesOf(paths).execs, `${process.pid}-${++serial}`))
  mkdirSync(files.directory, { recursive: true, mode: 0o700 })
  return files
}

export const execFiles = (directory: string): ExecFiles => ({
  directory,
  process: join(directory, 'process.json'),
  pid: join(directory, 'pid'),
  inside: join(directory, 'inside'),
  owner: join(directory, 'owner.json'),
  log: join(directory, 'log'),
})

export function listExecs(paths: ContainerPaths): readonly ExecFiles[] {
  const { execs } = filesOf(paths)
  return unlessErrno(['ENOENT', 'ENOTDIR'], () => readdirSync(execs), []).map((name) => execFiles(join(execs, name)))
}

export function removeExecFiles(files: ExecFiles): void {
  rmSync(files.directory, { force: true, recursive: true })
}
