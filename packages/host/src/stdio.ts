// The descriptors of a child and our ends of its pipes.
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { StartRequest } from './host.ts'
import { callFailed, libc } from './libc.ts'
import { pipe } from './pipe.ts'

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0o2000000

export interface ChildStdio {
  /** For the child, by its fd number. */
  readonly fds: readonly (number | undefined)[]
  /** Our ends as streams; null where there is none. */
  openOurs(): readonly (Socket | null)[]
  /** Closes our copies of the child's ends. */
  closeTheirs(): void
  /** Closes everything: the child was not started. */
  closeAll(): void
}

interface Ends {
  readonly theirs: number
  readonly ours: number
}

/** Makes the pipes: one-way for 0, 1 and 2 (so that /dev/stdout can be opened again), sockets for the others. */
export function prepareStdio(stdio: StartRequest['stdio']): ChildStdio {
  const ends: (Ends | undefined)[] = []
  const close = (pick: (ends: Ends) => readonly number[]) => {
    for (const fd of ends.flatMap((pair) => (pair === undefined ? [] : pick(pair)))) closeSync(fd)
  }
  const closeAll = () => close(({ theirs, ours }) => [theirs, ours])
  try {
    for (const [target, kind] of stdio.entries()) ends.push(kind === 'pipe' ? makeEnds(target) : undefined)
  } catch (err) {
    closeAll()
    throw err
  }
  return {
    fds: stdio.map((kind, target) => (typeof kind === 'number' ? kind : ends[target]?.theirs)),
    openOurs: () =>
      ends.map((pair, target) =>
        pair === undefined ? null : new Socket({ fd: pair.ours, readable: target !== 0, writable: target === 0 || target > 2 }),
      ),
    closeTheirs: () => close(({ theirs }) => [theirs]),
    closeAll,
  }
}

function makeEnds(target: number): Ends {
  if (target <= 2) {
    const { read, write } = pipe()
    return target === 0 ? { theirs: read, ours: write } : { theirs: write, ours: read }
  }
  const pair = new Int32Array(2)
  if (libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) !== 0) throw callFailed('make a pair of sockets')
  const [ours, theirs] = pair
  // The array has two elements.
  return { ours: ours as number, theirs: theirs as number }
}
