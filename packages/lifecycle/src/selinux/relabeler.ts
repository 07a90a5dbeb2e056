// Relabelling of volumes: each tree by one process at a time, with a journal of where it is, so that a retry or a new daemon goes on there and what
// is finished is not walked again.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { unlessErrno } from '@coracle/base/errno'
import { KeyedLock } from '@coracle/base/keyed-lock'
import { logger } from '@coracle/base/log'
import { isObject } from '@coracle/base/parse-json'

const log = logger('selinux')

/** An entry that nobody needed for so long is of a volume that is gone. */
const keepMs = 30 * 24 * 3600_000

/** What the journal knows of a tree. */
export interface RelabelState {
  readonly path: string
  readonly label: string
  /** Device and inode of the tree: another one at this path starts anew. */
  readonly identity?: string
  readonly after: readonly string[]
  readonly finished: boolean
}

export interface RelabelRun {
  readonly state: RelabelState
  readonly onPosition: (identity: string, after: readonly string[]) => void
}

/** Relabels a tree from where `state` says; resolves to the tree's identity at the end. */
export type RunRelabel = (run: RelabelRun, signal: AbortSignal) => Promise<string>

export interface Relabeler {
  /** Gives the tree at `path` (without links) the label. Rejects when the volume does not answer; a retry goes on where this came to. */
  relabel(path: string, label: string, signal: AbortSignal): Promise<void>
}

export function createRelabeler(directory: string, run: RunRelabel): Relabeler {
  const locks = new KeyedLock('relabelling')
  prune(directory)
  return {
    async relabel(path, label, signal) {
      using _lock = await locks.lock(path, signal)
      const file = join(directory, `${createHash('sha256').update(path).digest('hex')}.json`)
      let state = read(file, path, label)
      const write = (change: Partial<RelabelState>) => {
        state = { ...state, ...change }
        mkdirSync(directory, { recursive: true, mode: 0o700 })
        writeFileAtomic(file, JSON.stringify(state))
      }
      if (!state.finished) write({})
      const onPosition = (identity: string, after: readonly string[]) => write({ identity, after, finished: false })
      const identity = await run({ state, onPosition }, signal)
      write({ identity, after: [], finished: true })
    },
  }
}

/** One entry a path: another label makes what was done worthless. */
function read(file: string, path: string, label: string): RelabelState {
  const fresh: RelabelState = { path, label, after: [], finished: false }
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(file, 'utf8'), undefined)
  if (text === undefined) return fresh
  try {
    const found: unknown = JSON.parse(text)
    // We wrote it ourselves.
    if (isObject(found) && found['path'] === path && found['label'] === label) return found as unknown as RelabelState
  } catch {
    log.warn('a journal of relabelling is broken; starting anew', { file })
  }
  return fresh
}

function prune(directory: string): void {
  for (const name of unlessErrno(['ENOENT'], () => readdirSync(directory), [])) {
    const file = join(directory, name)
    const info = statSync(file, { throwIfNoEntry: false })
    if (info !== undefined && Date.now() - info.mtimeMs > keepMs) rmSync(file, { force: true })
  }
}
