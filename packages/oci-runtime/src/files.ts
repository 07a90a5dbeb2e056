// The names of everything this room keeps in a container's two directories.
import { join } from 'node:path'
import type { ContainerPaths } from './oci-runtime.ts'

export interface ContainerFiles {
  readonly config: string
  /** Written by us before and after create. */
  readonly record: string
  /** Written by the runtime for the monitor. */
  readonly pid: string
  /** Written by the monitor when the container ended; its modification time is the time of the end. */
  readonly exit: string
  /** Made by the monitor when it was told of a lack of memory in the container's cgroup. */
  readonly oom: string
  /** Resources as last applied by an update. */
  readonly resources: string
  /** One set of files for each running exec. */
  readonly execs: string
  readonly attach: string
  readonly control: string
}

export function filesOf(paths: ContainerPaths): ContainerFiles {
  return {
    config: join(paths.bundle, 'config.json'),
    record: join(paths.state, 'record.json'),
    pid: join(paths.state, 'pid'),
    exit: join(paths.state, 'exit'),
    oom: join(paths.state, 'oom'),
    resources: join(paths.state, 'resources.json'),
    execs: join(paths.state, 'exec'),
    attach: join(paths.bundle, 'attach'),
    control: join(paths.bundle, 'ctl'),
  }
}

/** Everything the monitor, the runtime and we leave behind, for removal. */
export function leftoversOf(paths: ContainerPaths): readonly string[] {
  const files = filesOf(paths)
  return [...Object.values(files), join(paths.bundle, 'winsz')]
}
