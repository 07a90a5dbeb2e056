// Holds a layer's directory against what it must be. Everything is looked at below the calling thread's own root, component by
// component: no link is followed.
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from 'node:fs'
import zlib from 'node:zlib'
import { errnoOf, isErrno } from '@coracle/base/errno'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { show } from '../tar/errors.ts'
import type { TreeNode } from './expected.ts'

export interface Comparison {
  /** What is wrong, one line each, the first of them. */
  readonly problems: readonly string[]
  /** All that was found. */
  readonly problemCount: number
  readonly files: number
  readonly bytesRead: number
}

export interface CompareOptions {
  readonly sys: Pick<UnpackSyscalls, 'xattrs'>
  /** Reads all content too. */
  readonly deep: boolean
}

const maxProblems = 20
const maxShownBytes = 200
// File systems bound times, each in its own way: what every one of them can hold.
const [minTime, maxTime] = [-(2 ** 31), 2 ** 31 - 1]
const readBytes = 1024 * 1024

/** Throws only for trouble of this machine other than a file that cannot be read (EIO), which is a finding. */
export function compareTree(root: TreeNode, options: CompareOptions): Comparison {
  const comparer = new Comparer(options)
  comparer.run(root)
  return comparer.result()
}

class Comparer {
  readonly #options: CompareOptions
  readonly #problems: string[] = []
  readonly #buffer = Buffer.allocUnsafe(readBytes)
  readonly #read = new Set<TreeNode>()
  #problemCount = 0
  #files = 0
  #bytesRead = 0

  constructor(options: CompareOptions) {
    this.#options = options
  }

  result = (): Comparison => ({
    problems: this.#problems,
    problemCount: this.#problemCount,
    files: this.#files,
    bytesRead: this.#bytesRead,
  })

  // Directories wait in a list: depth costs memory, not stack.
  run(root: TreeNode): void {
    const pending: { path: Buffer; node: TreeNode }[] = [{ path: Buffer.from('.'), node: root }]
    this.#look(Buffer.from('.'), root)
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { path, node } = next
      const names = this.#list(path)
      if (names === undefined) continue
      for (const [name, child] of node.children) {
        const childPath = join(path, Buffer.from(name, 'latin1'))
        if (!names.delete(name)) this.#found(childPath, 'is missing')
        else if (this.#look(childPath, child) && child.type === 'directory') pending.push({ path: childPath, node: child })
      }
      for (const name of names) this.#found(join(path, Buffer.from(name, 'latin1')), 'does not belong there')
    }
  }

  #list(path: Buffer): Set<string> | undefined {
    try {
      return new Set(readdirSync(path, { encoding: 'buffer' }).map((name) => name.toString('latin1')))
    } catch (err) {
      this.#unreadable(path, err)
      return undefined
    }
  }

  /** False when it is another kind of thing, or cannot be looked at. */
  #look(path: Buffer, node: TreeNode): boolean {
    this.#files++
    try {
      const stat = lstatSync(path)
      const type = typeOf(stat)
      if (type !== node.type) {
        this.#found(path, `is a ${type}, expected a ${node.type}`)
        return false
      }
      const wrong = metadataProblem(stat, node, path.length === 1)
      if (wrong !== undefined) this.#found(path, wrong)
      else this.#content(path, node)
      return true
    } catch (err) {
      this.#unreadable(path, err)
      return false
    }
  }

  #content(path: Buffer, node: TreeNode): void {
    const { record } = node
    if (node.opaque && this.#xattr(path, 'trusted.overlay.opaque')?.toString('latin1') !== 'y')
      this.#found(path, 'no longer hides what lower layers have')
    if (record === undefined) return
    if (node.type === 'symlink' && !readlinkSync(path, { encoding: 'buffer' }).equals(record.link))
      this.#found(path, 'leads elsewhere')
    if (record.capability !== 0 && zlib.crc32(this.#xattr(path, 'security.capability') ?? '') !== record.capability)
      this.#found(path, 'has lost its capabilities')
    // Hard links: once is enough.
    if (node.type !== 'file' || !this.#options.deep || this.#read.has(node)) return
    this.#read.add(node)
    if (this.#crc(path) !== record.crc) this.#found(path, 'has other content')
  }

  #xattr = (path: Buffer, name: string): Buffer | undefined => this.#options.sys.xattrs(path).get(name)

  #crc(path: Buffer): number {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      let crc = 0
      if (!fstatSync(fd).isFile()) return -1
      for (let n = readSync(fd, this.#buffer); n > 0; n = readSync(fd, this.#buffer)) {
        crc = zlib.crc32(this.#buffer.subarray(0, n), crc)
        this.#bytesRead += n
      }
      return crc
    } finally {
      closeSync(fd)
    }
  }

  // A disk that cannot give a file back, or a directory that is none any more, has lost it.
  #unreadable(path: Buffer, err: unknown): void {
    if (!isErrno(err, 'EIO', 'ENOENT', 'ENOTDIR', 'EUCLEAN', 'EBADMSG', 'ELOOP')) throw err
    this.#found(path, `cannot be read: ${errnoOf(err)}`)
  }

  #found(path: Buffer, what: string): void {
    if (this.#problemCount++ < maxProblems) this.#problems.push(`${shown(path)} ${what}`)
  }
}

const join = (directory: Buffer, name: Buffer): Buffer => Buffer.concat([directory, Buffer.from('/'), name])

function typeOf(stat: Stats): TreeNode['type'] | 'socket' {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isBlockDevice()) return 'block'
  if (stat.isCharacterDevice()) return stat.rdev === 0 ? 'whiteout' : 'character'
  return 'socket'
}

function metadataProblem(stat: Stats, { type, record }: TreeNode, isRoot: boolean): string | undefined {
  if (record === undefined) return undefined
  const mode = isRoot ? record.mode & ~0o022 : record.mode
  if (type !== 'symlink' && (stat.mode & 0o7777) !== mode)
    return `has the mode ${(stat.mode & 0o7777).toString(8)}, expected ${mode.toString(8)}`
  if (stat.uid !== record.uid || stat.gid !== record.gid)
    return `belongs to ${stat.uid}:${stat.gid}, expected ${record.uid}:${record.gid}`
  if (type === 'file' && stat.size !== record.sizeBytes) return `has ${stat.size} bytes, expected ${record.sizeBytes}`
  const isDevice = type === 'character' || type === 'block'
  if (isDevice && stat.rdev !== makeDevice(record.major, record.minor)) return 'is another device'
  const seconds = Math.floor(stat.mtimeMs / 1000)
  if (record.mtime >= minTime && record.mtime <= maxTime && seconds !== record.mtime)
    return `was changed at ${seconds}, expected ${record.mtime}`
  return undefined
}

// makedev(3) as stat(2) shows it in 32 bits, which is what the kernel keeps.
const makeDevice = (major: number, minor: number): number => ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)

// The end of a long path tells more than its beginning.
function shown(path: Buffer): string {
  if (path.length === 1) return 'its root'
  return path.length <= maxShownBytes
    ? show(path.subarray(2))
    : show(Buffer.concat([Buffer.from('…'), path.subarray(-maxShownBytes)]))
}
