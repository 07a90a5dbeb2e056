// What overlayfs would show at a path of some layers, looked up without mounting them: topmost layer first, whiteouts and opaque
// directories hide what is below, links lead to where they would with the whole as root. The kernel follows none of them: each step looks
// at one name in a directory that is known to be one, by a thread that has that layer as its root.
import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs'
import { CodedError } from '@coracle/base/errors'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { archiveError, show } from '../tar/errors.ts'

export interface Seen {
  /** The directory of the layer that has it. */
  readonly fd: number
  /** Where it is in there: no component is a link. */
  readonly path: Buffer
  readonly stat: BigIntStats
}

interface Step extends Seen {
  /** Of a directory: the layers whose content shows in it, topmost first. */
  readonly stack: readonly number[]
}

const slash = Buffer.from('/')
const maxLinks = 40
const maxPathBytes = 4095
// In all: links of links make one path long.
const maxLooks = 10_000_000

export class MergedView {
  readonly #sys: UnpackSyscalls
  readonly #layers: readonly number[]
  #looks = 0

  /** `layers`: directories, topmost first. The root of the calling thread is another one after each call. */
  constructor(sys: UnpackSyscalls, layers: readonly number[]) {
    this.#sys = sys
    this.#layers = layers
  }

  /** The last component itself, also when it is a link. Throws `invalid_argument` for a loop of links. */
  find(path: Buffer): Seen | undefined {
    const way: Step[] = []
    const pending = partsOf(path).reverse()
    let links = 0
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === '..') {
        way.pop()
        continue
      }
      const seen = this.#look(way.at(-1), part)
      if (seen === undefined || pending.length === 0) return seen
      if (seen.stat.isSymbolicLink()) {
        if (++links > maxLinks) throw archiveError(`${show(path)} is a loop of links in the layers below`)
        this.#sys.enter(seen.fd)
        const target = readlinkSync(seen.path, { encoding: 'buffer' })
        if (target[0] === slash[0]) way.length = 0
        pending.push(...partsOf(target).reverse())
      } else if (seen.stat.isDirectory()) way.push(seen)
      else return undefined
    }
    return undefined
  }

  #look(parent: Step | undefined, part: string): Step | undefined {
    const name = Buffer.from(part, 'latin1')
    const path = parent === undefined ? name : Buffer.concat([parent.path, slash, name])
    if (path.length > maxPathBytes) throw archiveError(`a path in the layers below is longer than ${maxPathBytes} bytes`)
    const stack: number[] = []
    let first: Seen | undefined
    for (const fd of parent === undefined ? this.#rootStack() : parent.stack) {
      const stat = this.#stat(fd, path)
      if (stat === undefined) continue
      if (!stat.isDirectory()) {
        // What is below a directory and is none is hidden by it; a whiteout is nothing itself.
        if (!isWhiteout(stat)) first ??= { fd, path, stat }
        break
      }
      first ??= { fd, path, stat }
      stack.push(fd)
      if (this.#isOpaque(path)) break
    }
    return first && { ...first, stack }
  }

  #rootStack(): readonly number[] {
    const stack: number[] = []
    for (const fd of this.#layers) {
      stack.push(fd)
      this.#sys.enter(fd)
      if (this.#isOpaque(Buffer.from('.'))) break
    }
    return stack
  }

  #stat(fd: number, path: Buffer): BigIntStats | undefined {
    if (++this.#looks > maxLooks)
      throw new CodedError('resource_exhausted', `links into the layers below take more than ${maxLooks} steps`)
    this.#sys.enter(fd)
    return lstatSync(path, { bigint: true, throwIfNoEntry: false })
  }

  #isOpaque = (path: Buffer): boolean => this.#sys.xattr(path, 'trusted.overlay.opaque')?.toString('latin1') === 'y'
}

const isWhiteout = (stat: BigIntStats): boolean => stat.isCharacterDevice() && stat.rdev === 0n

// Latin-1: bytes as text.
const partsOf = (path: Buffer): string[] =>
  path
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '' && part !== '.')
