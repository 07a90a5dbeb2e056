// The walk of a relabelling. A container may change the tree meanwhile: each step goes from an open directory to a name in it, so that no link
// leads out of the tree. The order is fixed, contents before their directory, so that a position says what is done.
import { closeSync, constants, fstatSync, openSync, readdirSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import type { UnpackSyscalls } from '../unpack-syscalls.ts'

/** Names from the top to an entry that is done with all below it. */
export type Position = readonly Buffer[]

export interface Walk {
  readonly sys: Pick<UnpackSyscalls, 'setXattr' | 'xattr'>
  readonly attribute: string
  /** With its final NUL. */
  readonly label: Buffer
  /** Called after each entry. */
  readonly onDone: (position: Position) => void
  readonly counts: RelabelCounts
}

export interface RelabelCounts {
  changed: number
  /** Had the label already. */
  right: number
  /** On file systems without labels, read-only, or gone meanwhile. */
  left: number
  /** Done by an earlier run. */
  skipped: number
}

/** The tree at `path` itself is labelled last: one that has the label is done. `after` is where an earlier run came to. */
export function relabelTree(path: string, walk: Walk, after: Position = []): void {
  const fd = openDirectory(path)
  if (fd !== undefined) {
    try {
      relabelBelow(fd, { walk, above: [], after })
    } finally {
      closeSync(fd)
    }
  }
  relabelOne(Buffer.from(path), walk)
}

interface Level {
  readonly walk: Walk
  readonly above: Position
  readonly after: Position
}

function relabelBelow(fd: number, { walk, above, after }: Level): void {
  const directory = `/proc/self/fd/${fd}`
  const [first, ...rest] = after
  for (const name of readdirSync(directory, { encoding: 'buffer' }).sort(Buffer.compare)) {
    const order = first === undefined ? 1 : Buffer.compare(name, first)
    if (order < 0 || (order === 0 && rest.length === 0)) {
      walk.counts.skipped++
      continue
    }
    const path = Buffer.concat([Buffer.from(`${directory}/`), name])
    const position = [...above, name]
    const child = openDirectory(path)
    if (child !== undefined) {
      try {
        relabelBelow(child, { walk, above: position, after: order === 0 ? rest : [] })
      } finally {
        closeSync(child)
      }
    }
    relabelOne(path, walk)
    walk.onDone(position)
  }
}

/** Undefined: no directory, or gone. */
function openDirectory(path: string | Buffer): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (err) {
    if (isErrno(err, 'ENOTDIR', 'ELOOP', 'ENOENT')) return undefined
    throw err
  }
}

function relabelOne(path: Buffer, { sys, attribute, label, counts }: Walk): void {
  try {
    if (sys.xattr(path, attribute)?.equals(label) === true) counts.right++
    else {
      sys.setXattr(path, attribute, label)
      counts.changed++
    }
  } catch (err) {
    if (!isErrno(err, 'ENOTSUP', 'EOPNOTSUPP', 'EROFS', 'ENOENT')) throw err
    counts.left++
  }
}

/** What tells a tree from another that came to its path later. */
export function identityOf(path: string): string {
  const fd = openSync(path, 0o10000000 | constants.O_NOFOLLOW)
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    return `${dev}:${ino}`
  } finally {
    closeSync(fd)
  }
}
