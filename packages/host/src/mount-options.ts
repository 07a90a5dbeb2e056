// The words of mount(8) as the numbers of mount(2).
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

const MS = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  synchronous: 16,
  remount: 32,
  mandlock: 64,
  dirsync: 128,
  nosymfollow: 256,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  rec: 16384,
  silent: 32768,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
  lazytime: 1 << 25,
} as const

export { MS as mountFlags }

const setting: Readonly<Record<string, number>> = {
  ro: MS.rdonly,
  nosuid: MS.nosuid,
  nodev: MS.nodev,
  noexec: MS.noexec,
  sync: MS.synchronous,
  remount: MS.remount,
  mand: MS.mandlock,
  dirsync: MS.dirsync,
  nosymfollow: MS.nosymfollow,
  noatime: MS.noatime,
  nodiratime: MS.nodiratime,
  bind: MS.bind,
  rbind: MS.bind | MS.rec,
  silent: MS.silent,
  relatime: MS.relatime,
  strictatime: MS.strictatime,
  lazytime: MS.lazytime,
}

const clearing: Readonly<Record<string, number>> = {
  rw: MS.rdonly,
  suid: MS.nosuid,
  dev: MS.nodev,
  exec: MS.noexec,
  async: MS.synchronous,
  nomand: MS.mandlock,
  symfollow: MS.nosymfollow,
  atime: MS.noatime,
  diratime: MS.nodiratime,
  norelatime: MS.relatime,
  nostrictatime: MS.strictatime,
  nolazytime: MS.lazytime,
  loud: MS.silent,
}

const propagating: Readonly<Record<string, number>> = {
  private: MS.private,
  shared: MS.shared,
  slave: MS.slave,
  unbindable: MS.unbindable,
  rprivate: MS.private | MS.rec,
  rshared: MS.shared | MS.rec,
  rslave: MS.slave | MS.rec,
  runbindable: MS.unbindable | MS.rec,
}

export interface ParsedOptions {
  readonly flags: number
  /** Flags that a word such as `rw` took away. */
  readonly cleared: number
  /** Each is applied by a call of its own. */
  readonly propagation: readonly number[]
  /** File system data, without the flags. */
  readonly data: readonly string[]
}

/** Sorts words into flags, propagation and data; the last word of a pair wins. Throws `invalid_argument` for a word that is more than one. */
export function parseMountOptions(words: readonly string[]): ParsedOptions {
  let flags = 0
  let cleared = 0
  const propagation: number[] = []
  const data: string[] = []
  for (const word of words) {
    const set = lookup(setting, word)
    const clear = lookup(clearing, word)
    const propagate = lookup(propagating, word)
    if (set !== undefined) {
      flags |= set
      cleared &= ~set
    } else if (clear !== undefined) {
      flags &= ~clear
      cleared |= clear
    } else if (propagate !== undefined) propagation.push(propagate)
    else if (word !== 'defaults' && word !== '') data.push(checkData(word))
  }
  return { flags, cleared, propagation, data }
}

const lookup = (table: Readonly<Record<string, number>>, word: string): number | undefined =>
  Object.hasOwn(table, word) ? table[word] : undefined

// A comma separates options for the kernel: a bare one inside a word would smuggle in another option. Overlay escapes it by a
// backslash, SELinux contexts quote it.
function checkData(word: string): string {
  const bare = word.replace(/\\./gs, '').replace(/"[^"]*"/gs, '')
  if (/[,\0]/.test(bare)) throw invalid(`mount option ${quote(word)} must be one word without a bare comma`)
  return word
}
