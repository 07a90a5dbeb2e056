// Unpacks what a container sent. The container may be hostile: nothing is written outside of the destination, through a symbolic
// link, or under another name than the one that was asked for; no link is made that points out of the tree; no set-id bits, no
// owners, no devices.
import { constants } from 'node:fs'
import { chmod, link, lstat, mkdir, open, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { doing, invalid, precondition } from '@coracle/base/errors'
import type { TarEntry } from './tar-reader.ts'

export interface ExtractOptions {
  /** The name that was asked for: every entry must be it, or below it. */
  readonly name: string
  /** What `name` becomes on this machine. Its parent directory exists. */
  readonly destination: string
  readonly warn: (message: string) => void
}

const MAX_DEPTH = 256

/** Throws `invalid_argument` for an entry that no honest tar writes; links that lead out and special files are left out with a warning. */
export async function extract(entries: AsyncIterable<TarEntry>, options: ExtractOptions): Promise<{ readonly entries: number }> {
  const { destination, warn } = options
  const directories: { path: string; mode: number }[] = []
  let count = 0
  for await (const entry of entries) {
    const parts = partsBelow(options.name, entry.name)
    const path = join(destination, ...parts)
    count++
    await requireRealParents(destination, parts)
    if (entry.type === '5') {
      await makeDirectory(path)
      directories.push({ path, mode: entry.mode })
    } else if (entry.type === '0' || entry.type === '7') await writeFile(path, entry)
    else if (entry.type === '2') await makeSymlink(path, { entry, parts, warn })
    else if (entry.type === '1') await makeHardLink(path, entry, options)
    else warn(`${quoted(entry.name)} is a device, pipe or something unknown: left out`)
  }
  // Last, and the deepest first: a directory that may not be written to has to be filled before.
  for (const { path, mode } of directories.reverse()) {
    // It was made or found as a real directory, and nothing here replaces one.
    await chmod(path, mode & 0o777)
  }
  return { entries: count }
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 200))

/** The path's parts below `root`. Exported for its tests. */
export function partsBelow(root: string, name: string): string[] {
  const parts = name
    .replace(/^(\.\/+)+/, '')
    .split('/')
    .filter((part, at, all) => !(part === '' && at === all.length - 1))
  const [first, ...below] = root === '.' ? ['.', ...parts.filter((part) => part !== '.')] : parts
  if (first !== root || below.some((part) => part === '' || part === '.' || part === '..') || below.length > MAX_DEPTH)
    throw invalid(`the container sent ${quoted(name)} when asked for ${quoted(root)}: refused`)
  return below
}

/** Every directory on the way must be one, not a link to one. */
async function requireRealParents(destination: string, parts: readonly string[]): Promise<void> {
  if (parts.length === 0) return
  for (let depth = 0; depth < parts.length; depth++) {
    const path = join(destination, ...parts.slice(0, depth))
    const info = await lstat(path).catch(() => undefined)
    if (info === undefined) await mkdir(path)
    else if (info.isSymbolicLink()) throw precondition(`${quoted(path)} is a symbolic link: nothing is written through it`)
    else if (!info.isDirectory()) throw precondition(`${quoted(path)} is no directory`)
  }
}

async function makeDirectory(path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined)
  if (info?.isDirectory()) return
  if (info !== undefined) throw precondition(`${quoted(path)} is there and no directory: remove it first`)
  await doing(`make directory ${path}`, () => mkdir(path, 0o700))
}

async function writeFile(path: string, { mode, mtimeSeconds, content }: TarEntry): Promise<void> {
  await makeRoom(path)
  // Only a new file, so that nothing that is there is written through.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  await using handle = await doing(`write ${path}`, () => open(path, flags, 0o600))
  for await (const piece of content) {
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten
  }
  await handle.chmod(mode & 0o777)
  await handle.utimes(mtimeSeconds, mtimeSeconds)
}

/** A file or link that is there gives way; a directory does not. */
async function makeRoom(path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined)
  if (info?.isDirectory()) throw precondition(`${quoted(path)} is a directory here and not in the container: remove it first`)
  if (info !== undefined) await unlink(path)
}

interface SymlinkOptions {
  readonly entry: TarEntry
  readonly parts: readonly string[]
  readonly warn: (message: string) => void
}

async function makeSymlink(path: string, { entry, parts, warn }: SymlinkOptions): Promise<void> {
  if (parts.length === 0)
    throw precondition(`${quoted(entry.name)} is a symbolic link to ${quoted(entry.link)}: copy that instead`)
  if (!staysInside(parts, entry.link)) {
    warn(`${quoted(entry.name)} is a link to ${quoted(entry.link)}, which leads out of what is copied: left out`)
    return
  }
  await makeRoom(path)
  await doing(`make link ${path}`, () => symlink(entry.link, path))
}

/**
 * Whether a link at `parts` leads to something below the root. Upward steps may come only first, where the directories are known to be
 * real ones: behind a name that is itself a link, `..` would be somewhere else. Exported for its tests.
 */
export function staysInside(parts: readonly string[], target: string): boolean {
  if (target === '' || target.startsWith('/')) return false
  const steps = target.split('/').filter((step) => step !== '' && step !== '.')
  const ups = steps.findIndex((step) => step !== '..')
  const upward = ups < 0 ? steps.length : ups
  return upward <= parts.length - 1 && !steps.slice(upward).includes('..')
}

async function makeHardLink(path: string, entry: TarEntry, { name, destination }: ExtractOptions): Promise<void> {
  const parts = partsBelow(name, entry.link)
  await requireRealParents(destination, parts)
  const existing = join(destination, ...parts)
  const info = await lstat(existing).catch(() => undefined)
  if (!info?.isFile()) throw invalid(`the container sent a link to ${quoted(entry.link)}, which it has not sent: refused`)
  if (existing === path) return
  await makeRoom(path)
  await doing(`make link ${path}`, () => link(existing, path))
}
