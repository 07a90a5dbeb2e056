// The directories with CDI files. Looked at whenever somebody asks, since vendors write them at any time; a file is read again only when it changed.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, unlessErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { type CdiFile, type CdiIndex, type CdiProblem, indexCdi } from '@coracle/container-spec'
import type { CdiSource } from '@coracle/lifecycle'
import type { Config } from '../config/config.ts'
import { type CdiContent, readCdiFile } from './cdi-file.ts'

const log = logger('cdi')

/** More files than this in one directory can only be a mistake. */
const maxFiles = 1000

interface Read {
  /** Identity and times of the file that was read. */
  readonly stamp: string
  readonly content: CdiContent
}

/** As configured; undefined without any directory. */
export function openCdi({ cdi: { specDirs, annotations } }: Pick<Config, 'cdi'>): CdiSource | undefined {
  return specDirs.length === 0 ? undefined : { annotations, index: cdiDirectories(specDirs) }
}

/** `directories` from the least to the most important. Returns the look at them: what all files say now. */
export function cdiDirectories(directories: readonly string[]): () => CdiIndex {
  let known: ReadonlyMap<string, Read> = new Map()
  let index = indexCdi(directories, [])
  let seen = ''
  return () => {
    const next = new Map<string, Read>()
    const problems: CdiProblem[] = []
    const ranks = new Map<string, number>()
    directories.forEach((directory, priority) => {
      for (const path of filesIn(directory, problems)) {
        const stamp = stampOf(path)
        const before = known.get(path)
        next.set(path, before !== undefined && before.stamp === stamp ? before : { stamp, content: readCdiFile(path) })
        ranks.set(path, priority)
      }
    })
    const now = JSON.stringify([[...next].map(([path, { stamp }]) => [path, stamp]), problems])
    if (now === seen) return index
    known = next
    seen = now
    index = makeIndex(directories, { read: next, ranks, problems })
    report(index)
    return index
  }
}

function makeIndex(
  directories: readonly string[],
  found: { read: ReadonlyMap<string, Read>; ranks: ReadonlyMap<string, number>; problems: readonly CdiProblem[] },
): CdiIndex {
  const files: CdiFile[] = []
  const problems: CdiProblem[] = [...found.problems]
  for (const [path, { content }] of found.read) {
    if ('spec' in content) files.push({ path, priority: found.ranks.get(path) ?? 0, spec: content.spec })
    else problems.push({ path, reason: content.reason })
  }
  return indexCdi(directories, files, problems)
}

function filesIn(directory: string, problems: CdiProblem[]): readonly string[] {
  try {
    const names = unlessErrno(['ENOENT', 'ENOTDIR'], () => readdirSync(directory), [])
    const files = names.filter((name) => name.endsWith('.json') || name.endsWith('.yaml')).sort()
    if (files.length <= maxFiles) return files.map((name) => join(directory, name))
    problems.push({ path: directory, reason: `${files.length} files, more than the limit of ${maxFiles}` })
  } catch (err) {
    problems.push({ path: directory, reason: explain(err) })
  }
  return []
}

function stampOf(path: string): string {
  try {
    const { ino, dev, size, mode, uid, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    return [dev, ino, size, mode, uid, mtimeNs, ctimeNs].join(' ')
  } catch (err) {
    return errnoOf(err) ?? 'unknown'
  }
}

function report({ files, devices, problems, conflicts }: CdiIndex): void {
  if (files.length > 0) log.info('CDI files read', { files: files.length, devices: devices.size })
  for (const { path, reason } of problems) log.warn('CDI file cannot be used', { path, reason })
  for (const [device, paths] of conflicts) log.warn('CDI device is defined more than once', { device, paths })
}
