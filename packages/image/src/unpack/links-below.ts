// For the rare layer whose hard links lead into layers below. It stands between the archive's reader and the extraction: before such a
// link it puts in what the link is to, as if the archive had it, which is what overlayfs does for link(2) (copy-up).
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readlinkSync, readSync, realpathSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { baseOf, type EntryKind, parentOf, type TarEntry } from '../tar/entry.ts'
import { archiveError, show } from '../tar/errors.ts'
import type { TarSink } from '../tar/reader.ts'
import { entryFailed } from './entry-failed.ts'
import { MergedView, type Seen } from './merged-view.ts'
import { whiteoutOf } from './whiteout.ts'
import { xattrRule } from './xattrs.ts'

const chunkBytes = 1024 * 1024
/** In nanoseconds. */
const second = 1_000_000_000n

export interface LinksBelowOptions {
  readonly sys: UnpackSyscalls
  /** The layer's own directory. */
  readonly own: number
  /** Directories of the layers below, topmost first. */
  readonly below: readonly number[]
  /** What makes the files. */
  readonly sink: TarSink
}

export class LinksBelow implements TarSink {
  readonly #options: LinksBelowOptions
  readonly #view: MergedView
  /** What was put in, as Latin-1 text. */
  readonly #taken = new Set<string>()

  constructor(options: LinksBelowOptions) {
    this.#options = options
    this.#view = new MergedView(options.sys, [options.own, ...options.below])
  }

  begin(entry: TarEntry): void {
    this.#options.sink.begin(this.#prepare(entry))
  }

  data = (chunk: Buffer): void => this.#options.sink.data(chunk)
  end = (): void => this.#options.sink.end()

  #prepare(entry: TarEntry): TarEntry {
    try {
      const whiteout = whiteoutOf(entry.path)
      if (whiteout !== undefined && whiteout.kind !== 'ignored') this.#refuseHiding(whiteout)
      if (whiteout !== undefined || entry.kind !== 'hardlink' || entry.link.equals(entry.path)) return entry
      if (lstatSync(entry.link, { throwIfNoEntry: false }) !== undefined) return entry
      return { ...entry, link: this.#take(entry.link) }
    } catch (err) {
      throw entryFailed(entry, err)
    } finally {
      this.#options.sys.enter(this.#options.own)
    }
  }

  /** Puts the link's target into this layer; returns its path there. */
  #take(link: Buffer): Buffer {
    const seen = this.#view.find(link)
    if (seen === undefined) throw archiveError(`its hard link's target ${show(link)} is neither in the layer nor below it`)
    const kind = kindOf(seen.stat)
    if (kind === undefined) throw archiveError(`its hard link's target ${show(link)} cannot be linked to`)
    // Through links of the layers below it may be what this layer has already.
    if (seen.fd !== this.#options.own) {
      this.#copy(seen, kind)
      this.#taken.add(seen.path.toString('latin1'))
    }
    return seen.path
  }

  #copy({ fd, path, stat }: Seen, kind: EntryKind): void {
    const { sys, own, sink } = this.#options
    sys.enter(fd)
    const source = kind === 'file' ? openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK) : -1
    try {
      const entry = entryOf({ fd, path, stat }, kind, sys)
      sys.enter(own)
      sink.begin(entry)
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, entry.sizeBytes))
      for (let left = entry.sizeBytes; left > 0; ) {
        const length = readSync(source, buffer, 0, Math.min(buffer.length, left), null)
        if (length === 0) throw new CodedError('data_loss', `${show(path)} of a layer below ends early: check the store`)
        sink.data(buffer.subarray(0, length))
        left -= length
      }
      sink.end()
    } finally {
      if (source >= 0) closeSync(source)
    }
  }

  // A whiteout leaves what its own layer has. To what was taken from below it would have to be told that it does not count as that.
  #refuseHiding({ kind, path }: { readonly kind: 'opaque' | 'remove'; readonly path: Buffer }): void {
    if (this.#taken.size === 0) return
    const real = kind === 'opaque' ? realpath(path) : realpath(parentOf(path))
    if (real === undefined) return
    const hidden = kind === 'opaque' ? real : join(real, baseOf(path).toString('latin1'))
    for (const taken of this.#taken)
      if (hidden === '' || taken.startsWith(`${hidden}/`) || (kind === 'remove' && taken === hidden))
        throw archiveError(
          `it hides ${show(Buffer.from(taken, 'latin1'))} of a lower layer, to which a hard link was made before`,
        )
  }
}

const join = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`)

/** Below the thread's own root, without the slash; undefined: there is no such thing. */
function realpath(path: Buffer): string | undefined {
  if (path.length === 0) return ''
  try {
    return realpathSync.native(path, { encoding: 'buffer' }).toString('latin1').slice(1)
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined
    throw err
  }
}

function kindOf(stat: BigIntStats): EntryKind | undefined {
  if (stat.isFile()) return 'file'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isCharacterDevice()) return 'character'
  return stat.isBlockDevice() ? 'block' : undefined
}

/** What an archive would say about it. The thread's root is its layer. */
function entryOf({ path, stat }: Seen, kind: EntryKind, sys: UnpackSyscalls): TarEntry {
  const xattrs = [...sys.xattrs(path)].filter(([name]) => xattrRule(name).startsWith('set'))
  const nanoseconds = Number(((stat.mtimeNs % second) + second) % second)
  // The kernel's dev_t in 32 bits, as makedev(3) makes it for numbers that fit.
  const device = Number(stat.rdev)
  return {
    kind,
    path,
    sizeBytes: kind === 'file' ? Number(stat.size) : 0,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: { seconds: Number((stat.mtimeNs - BigInt(nanoseconds)) / second), nanoseconds },
    link: kind === 'symlink' ? readlinkSync(path, { encoding: 'buffer' }) : Buffer.alloc(0),
    major: (device >>> 8) & 0xfff,
    minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
    xattrs: xattrs.length === 0 ? undefined : new Map(xattrs),
  }
}
