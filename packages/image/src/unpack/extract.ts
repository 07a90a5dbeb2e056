// Puts the entries of one layer into the directory that is this thread's root. Synchronous throughout: asynchronous file calls would run
// on threads that have another root. Links in parents are followed by the kernel inside that root; the last component never is.
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { DiskError } from '../disk-error.ts'
import { parentOf, type TarEntry } from '../tar/entry.ts'
import { archiveError, show } from '../tar/errors.ts'
import type { TarSink } from '../tar/reader.ts'
import { type Beside, FileFailure } from './beside.ts'
import { besideFailed, entryFailed } from './entry-failed.ts'
import { InodeReserve, type Inodes } from './inode-reserve.ts'
import { LateMetadata } from './late-metadata.ts'
import { LinkBelowError } from './link-below-error.ts'
import { makeParents } from './parents.ts'
import { isWhiteoutNode, markHiding, markOpaque, whiteoutOf } from './whiteout.ts'
import { applyXattrs } from './xattrs.ts'

export interface ExtractLimits {
  readonly maxEntries: number
  /** Bytes of file content in one layer. */
  readonly maxUnpackedBytes: number
  /** Refuses to go on when the file system has less free. */
  readonly reserveBytes: number
}

/** The file system that is written to. */
export interface Disk {
  freeBytes(): number
  readonly inodes: Inodes
  /** Many small files were written since the last call, none of them on its way to the disk yet. */
  onManyFiles(): void
  /** A second thread for small files. */
  readonly beside?: Beside | undefined
}

export interface Extracted {
  /** Disk space by 4 KiB blocks. */
  readonly usedBytes: number
  readonly inodes: number
  /** Directories that the archive has only as parents of other entries, as Latin-1 text: their metadata belongs to lower layers. */
  readonly impliedDirectories: readonly string[]
  readonly warnings: readonly string[]
}

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const writebackBytes = 8 * 1024 * 1024
// From this size on a file's own write-back pays.
const largeFileBytes = 1024 * 1024
const manyFiles = 4096
const maxWarnings = 20
const maxImplied = 100_000
const root = Buffer.from('.')

export class Extractor implements TarSink {
  readonly sys: UnpackSyscalls
  readonly #limits: ExtractLimits
  readonly #disk: Disk
  readonly #inodes: InodeReserve
  readonly implied = new Set<string>()
  readonly #late = new LateMetadata()
  readonly #warnings: string[] = []
  #file: { fd: number; entry: TarEntry; sinceWriteback: number } | undefined
  #entries = 0
  /** The directory marked last. */
  #hiding: Buffer = root
  #usedBytes = 0
  #writtenBytes = 0
  #freeCheckAt = 0
  #inodesUsed = 1
  #smallFiles = 0
  /** The content that comes belongs to a file of the second thread. */
  #isBeside = false

  constructor(sys: UnpackSyscalls, limits: ExtractLimits, disk: Disk) {
    this.sys = sys
    this.#limits = limits
    this.#disk = disk
    this.#inodes = new InodeReserve(disk.inodes)
  }

  begin(entry: TarEntry): void {
    if (++this.#entries > this.#limits.maxEntries)
      throw new CodedError('resource_exhausted', `layer has more than ${this.#limits.maxEntries} entries`)
    this.#inodes.check(this.#entries)
    try {
      this.#begin(entry)
    } catch (err) {
      throw err instanceof FileFailure ? besideFailed(err) : entryFailed(entry, err)
    }
  }

  data(chunk: Buffer): void {
    const file = this.#file
    this.#writtenBytes += chunk.length
    if (this.#writtenBytes > this.#freeCheckAt) this.#checkSpace()
    if (this.#isBeside) this.#disk.beside?.data(chunk)
    if (file === undefined) return
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(file.fd, chunk, at, chunk.length - at)
    } catch (err) {
      throw entryFailed(file.entry, err)
    }
    file.sinceWriteback += chunk.length
    if (file.sinceWriteback < writebackBytes) return
    file.sinceWriteback = 0
    this.sys.startWriteback(file.fd)
  }

  end(): void {
    if (this.#isBeside) this.#countSmallFile()
    this.#isBeside = false
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    try {
      this.#finishFile(file.fd, file.entry)
    } catch (err) {
      throw entryFailed(file.entry, err)
    }
  }

  finish(): Extracted {
    this.#settle()
    this.#late.apply(this.sys)
    return {
      usedBytes: this.#usedBytes + 4096,
      inodes: this.#inodesUsed,
      impliedDirectories: [...this.implied],
      warnings: this.#warnings,
    }
  }

  /** Closes what is open. For failures; what was made stays for its owner to remove. */
  abandon(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd)
    this.#file = undefined
  }

  warn(text: string): void {
    if (this.#warnings.length < maxWarnings) this.#warnings.push(text)
  }

  /** Removes whatever is at `path`, so that a new thing can take its place; tells whether it was a whiteout. */
  replace(path: Buffer): boolean {
    this.#settle()
    this.#disk.beside?.turnOff()
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return false
    if (stat.isDirectory()) removeTree(path)
    else unlinkSync(path)
    // It would be made in another place, below directories that nothing asked for.
    if (statSync(Buffer.concat([parentOf(path), Buffer.from('/.')]), { throwIfNoEntry: false }) === undefined)
      throw archiveError(`the path ${show(path)} goes through the link that it replaces`)
    return isWhiteoutNode(stat)
  }

  /** A directory that no entry asked for. */
  makeImplied(path: Buffer): void {
    mkdirSync(path, 0o755)
    this.#count(4096)
    if (this.implied.size >= maxImplied) throw archiveError(`it leaves out more than ${maxImplied} directories`)
    this.implied.add(path.toString('latin1'))
    this.#disk.beside?.noteDirectory(path)
  }

  #begin(entry: TarEntry) {
    if (entry.path.length === 0) return this.#root(entry)
    const whiteout = whiteoutOf(entry.path)
    if (whiteout !== undefined) return this.#whiteout(whiteout)
    if (entry.kind === 'hardlink' || this.#disk.beside?.isPending(entry.path)) this.#settle()
    switch (entry.kind) {
      case 'file':
        return this.#openFile(entry)
      case 'directory':
        return this.#directory(entry)
      case 'hardlink':
        return this.#hardlink(entry)
      case 'symlink':
        this.#create(entry.path, () => symlinkSync(entry.link, entry.path))
        break
      case 'character':
      case 'block':
        if (entry.kind === 'character' && entry.major === 0 && entry.minor === 0)
          throw archiveError('a character device 0:0 would be a whiteout')
        this.#makeNode(entry, entry.kind)
        break
      case 'fifo':
        this.#makeNode(entry, 'fifo')
        break
      default:
        entry.kind satisfies never
    }
    this.#metadataByPath(entry)
  }

  // The root of a layer is never writable for others than root, whatever the archive says.
  #root(entry: TarEntry): void {
    if (entry.kind !== 'directory') throw archiveError('an entry that is no directory is named as the root')
    lchownSync(root, entry.uid, entry.gid)
    this.#late.note(root, { mode: entry.mode & ~0o022, mtime: entry.mtime })
    applyXattrs(this, root, entry.xattrs)
  }

  #whiteout(whiteout: { kind: 'ignored' } | { kind: 'opaque' | 'remove'; path: Buffer }) {
    if (whiteout.kind === 'ignored') return
    this.#settle()
    const path = whiteout.path.length === 0 ? root : whiteout.path
    if (whiteout.kind === 'opaque') {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat === undefined || isWhiteoutNode(stat)) {
        if (stat !== undefined) unlinkSync(path)
        this.#create(path, () => this.makeImplied(path))
      } else if (!stat.isDirectory()) throw archiveError(`${show(path)} is marked opaque and no directory`)
      return markOpaque(this.sys, path)
    }
    const stat = lstatSync(path, { throwIfNoEntry: false })
    // A whiteout speaks about lower layers: what this layer has of that name stays.
    if (stat?.isDirectory()) markOpaque(this.sys, path)
    else if (stat === undefined) {
      this.#retryWithParents(path, () => this.sys.makeNode(path, { kind: 'character', mode: 0, major: 0, minor: 0 }))
      this.#count(0)
      const parent = parentOf(path)
      // The root of an overlay has a layer above: it is looked through anyhow.
      if (parent.length > 0 && !parent.equals(this.#hiding)) markHiding(this.sys, parent)
      this.#hiding = parent
    }
  }

  #openFile(entry: TarEntry): void {
    if (this.#disk.beside?.takes(entry)) {
      this.#isBeside = true
      this.#usedBytes += Math.ceil(entry.sizeBytes / 4096) * 4096
      this.#inodesUsed++
      return
    }
    let fd = -1
    this.#create(entry.path, () => {
      fd = openSync(entry.path, createFlags, entry.mode & 0o777)
    })
    this.#usedBytes += Math.ceil(entry.sizeBytes / 4096) * 4096
    this.#file = { fd, entry, sinceWriteback: 0 }
  }

  #finishFile(fd: number, entry: TarEntry): void {
    try {
      if (entry.uid !== 0 || entry.gid !== 0) fchownSync(fd, entry.uid, entry.gid)
      // After chown(2), which takes setuid and setgid away.
      if (entry.mode & 0o7000) fchmodSync(fd, entry.mode)
      applyXattrs(this, entry.path, entry.xattrs)
      this.sys.setTimeOf(fd, entry.mtime)
      if (entry.sizeBytes >= largeFileBytes) this.sys.startWriteback(fd)
      else this.#countSmallFile()
    } finally {
      closeSync(fd)
    }
  }

  #countSmallFile(): void {
    if (++this.#smallFiles % manyFiles === 0) this.#disk.onManyFiles()
  }

  /** From here on everything that the archive had so far is there. */
  #settle(): void {
    try {
      this.#disk.beside?.settle()
    } catch (err) {
      throw err instanceof FileFailure ? besideFailed(err) : err
    }
  }

  #directory(entry: TarEntry): void {
    const { path } = entry
    if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      let wasWhiteout = false
      this.#retryWithParents(path, () => {
        try {
          mkdirSync(path, entry.mode & 0o777)
        } catch (err) {
          if (!isErrno(err, 'EEXIST')) throw err
          wasWhiteout = this.replace(path)
          mkdirSync(path, entry.mode & 0o777)
        }
      })
      this.#count(4096)
      // Deleted below and made anew here: what is below must not shine through.
      if (wasWhiteout) markOpaque(this.sys, path)
    }
    // Also what was implied, replaced and is made anew.
    if (this.implied.size > 0) this.implied.delete(path.toString('latin1'))
    this.#disk.beside?.noteDirectory(path)
    lchownSync(path, entry.uid, entry.gid)
    this.#late.note(path, entry)
    applyXattrs(this, path, entry.xattrs)
  }

  #hardlink(entry: TarEntry): void {
    if (entry.link.equals(entry.path)) throw archiveError('it is a hard link to itself')
    const target = lstatSync(entry.link, { throwIfNoEntry: false })
    if (target === undefined) throw LinkBelowError.of(show(entry.link))
    if (target.isDirectory() || isWhiteoutNode(target))
      throw archiveError(`its hard link's target ${show(entry.link)} cannot be linked to`)
    this.#create(entry.path, () => linkSync(entry.link, entry.path))
    this.#inodesUsed--
  }

  #makeNode(entry: TarEntry, kind: 'character' | 'block' | 'fifo'): void {
    const { mode, major, minor } = entry
    this.#create(entry.path, () => this.sys.makeNode(entry.path, { kind, mode: mode & 0o777, major, minor }))
  }

  #metadataByPath(entry: TarEntry): void {
    if (entry.uid !== 0 || entry.gid !== 0) lchownSync(entry.path, entry.uid, entry.gid)
    // Nothing but a link is followed by chmod(2), and a link has no mode.
    if (entry.kind !== 'symlink' && entry.mode & 0o7000) chmodSync(entry.path, entry.mode)
    applyXattrs(this, entry.path, entry.xattrs)
    this.sys.setTime(entry.path, entry.mtime)
  }

  /** Makes a new thing at `path`: what is there goes first, parents that lack are made. */
  #create(path: Buffer, make: () => void): void {
    this.#retryWithParents(path, () => {
      try {
        make()
      } catch (err) {
        if (!isErrno(err, 'EEXIST')) throw err
        this.replace(path)
        make()
      }
    })
    this.#inodesUsed++
  }

  #retryWithParents(path: Buffer, make: () => void): void {
    try {
      make()
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR')) throw err
      this.#settle()
      makeParents(this, path)
      make()
    }
  }

  #count(bytes: number): void {
    this.#inodesUsed++
    this.#usedBytes += bytes
  }

  #checkSpace(): void {
    if (this.#writtenBytes > this.#limits.maxUnpackedBytes)
      throw new CodedError('resource_exhausted', `layer unpacks to more than ${this.#limits.maxUnpackedBytes} bytes`)
    const free = this.#disk.freeBytes()
    if (free < this.#limits.reserveBytes)
      throw new DiskError('no space', `no space left: ${free} bytes free, ${this.#limits.reserveBytes} are kept in reserve`)
    this.#freeCheckAt =
      this.#writtenBytes + Math.min(64 * 1024 * 1024, Math.max(1024 * 1024, (free - this.#limits.reserveBytes) / 2))
    this.#freeCheckAt = Math.min(this.#freeCheckAt, this.#limits.maxUnpackedBytes)
  }
}

/** Removes a directory with all below it, following nothing. Depth costs memory, not stack. */
export function removeTree(path: Buffer): void {
  const pending = [path]
  while (pending.length > 0) {
    // The loop ends when it is empty.
    const directory = pending.at(-1) as Buffer
    let deeper = false
    for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
      const child = Buffer.concat([directory, Buffer.from('/'), entry.name])
      if (entry.isDirectory()) {
        pending.push(child)
        deeper = true
      } else unlinkSync(child)
    }
    if (!deeper) {
      rmdirSync(directory)
      pending.pop()
    }
  }
}
