// open_tree(2): opens a place (as O_PATH does, but a file system that is mounted on demand is mounted), or clones what is mounted there.
import { closeSync } from 'node:fs'
import { CodedError } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { O_CLOEXEC } from './in-root.ts'
import { callFailed, libc, offThread } from './libc.ts'
import { AT } from './statx.ts'

export const OPEN_TREE_CLONE = 1
export const AT_RECURSIVE = 0x8000

export interface TreeRequest {
  /** A descriptor, which is then meant itself, or a path. */
  readonly from: number | string
  /** OPEN_TREE_CLONE, AT_RECURSIVE. */
  readonly flags: number
  /** What it is called in errors. */
  readonly name: string
  /** For a place of somebody else, which may hang on a dead server: it has a thread of its own, which is then left behind. */
  readonly timeoutMs?: number
}

/** A descriptor, the caller's to close. Throws `deadline_exceeded`, `internal` with the errno's name. */
export async function openTree(request: TreeRequest, signal: AbortSignal): Promise<number> {
  const { name, timeoutMs } = request
  signal.throwIfAborted()
  if (timeoutMs === undefined) return openNow(request)
  const opening = offThread.openTree(...argumentsOf(request))
  const given = new AbortController()
  const late = delay(timeoutMs, AbortSignal.any([signal, given.signal])).then(() => 'late' as const)
  try {
    const fd = await Promise.race([opening, late])
    if (fd === 'late') throw new CodedError('deadline_exceeded', `look at ${name}: no answer within ${timeoutMs} ms`)
    if (fd >= 0) return fd
  } catch (err) {
    void opening.then((fd) => {
      if (fd >= 0) closeSync(fd)
    })
    throw err
  } finally {
    given.abort()
    late.catch(() => {})
  }
  // It failed, so it does not hang; the errno of the other thread cannot be read.
  return openNow(request)
}

function openNow(request: TreeRequest): number {
  const fd = libc.openTree(...argumentsOf(request))
  if (fd < 0) throw callFailed(`open ${request.name}`)
  return fd
}

const argumentsOf = ({ from, flags }: TreeRequest): readonly [number, string, number] =>
  typeof from === 'number' ? [from, '', flags | O_CLOEXEC | AT.emptyPath] : [AT.fdcwd, from, flags | O_CLOEXEC]
