import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unlessErrno } from '@coracle/base/errno'

/** Controllers that the cgroup v2 hierarchy of a hybrid machine still holds. Empty elsewhere. */
export function unifiedControllers(cgroupRoot = '/sys/fs/cgroup'): ReadonlySet<string> {
  const text = unlessErrno(['ENOENT'], () => readFileSync(join(cgroupRoot, 'unified', 'cgroup.controllers'), 'utf8'), '')
  return new Set(text.trim().split(/\s+/).filter(Boolean))
}
