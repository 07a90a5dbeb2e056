// Places opened once (O_PATH) and held: what somebody puts at their name later is something else (CVE-2021-25741).
import { closeSync, openSync, readlinkSync } from 'node:fs'
import { constants as os } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { CodedError, invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { abortable } from '@coracle/base/signals'
import type { HeldPath, PathInfo } from './host.ts'
import { O_PATH, openHow, RESOLVE } from './in-root.ts'
import { callFailed, errno, libc, SystemCallError } from './libc.ts'
import { fileTypes, noAnswer, refuseWhileStuck } from './probe.ts'
import { start } from './spawn.ts'
import { AT, statx } from './statx.ts'

/**
 * Of what was just looked at the kernel mostly knows every step. Where it would have to ask a disk or a server, a process that can be killed asks:
 * the daemon's own threads never wait for a path of somebody else.
 */
export async function hold(found: readonly PathInfo[], timeoutMs: number, signal: AbortSignal): Promise<readonly HeldPath[]> {
  const places = new Map<PathInfo, HeldPath>()
  try {
    for (const info of found) {
      const fd = openKnown(info)
      if (fd !== undefined) places.set(info, heldAt(fd, info.path))
    }
    const left = found.filter((info) => !places.has(info))
    if (left.length > 0) await holdByProgram({ left, places, timeoutMs }, signal)
    // In order, and all are there.
    return found.flatMap((info) => places.get(info) ?? [])
  } catch (err) {
    for (const place of places.values()) place[Symbol.dispose]()
    throw err
  }
}

// A file system that is mounted on demand is mounted when something below it is named.
const nameOf = ({ path, type }: PathInfo): string => (type === 'directory' ? `${path}/.` : path)

/** Undefined: the kernel would have to wait for something, or could not open it. */
function openKnown(info: PathInfo): number | undefined {
  // Names in sysfs are asked of nobody else, but are not cached either.
  const resolve = `${info.path}/`.startsWith('/sys/') ? RESOLVE.noMagicLinks : RESOLVE.cached
  const fd = libc.openat2(AT.fdcwd, nameOf(info), openHow(O_PATH, resolve))
  return fd < 0 ? undefined : fd
}

const program = fileURLToPath(new URL('./hold-program.ts', import.meta.url))

interface Left {
  readonly left: readonly PathInfo[]
  readonly places: Map<PathInfo, HeldPath>
  readonly timeoutMs: number
}

async function holdByProgram({ left, places, timeoutMs }: Left, signal: AbortSignal): Promise<void> {
  const paths = left.map(({ path }) => path)
  refuseWhileStuck(paths)
  const options = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1']
  const argv = [process.execPath, ...options, program] as const
  await using child = await start({ argv, stdio: ['pipe', 'pipe', 'ignore'] })
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(noAnswer(paths, timeoutMs)), timeoutMs)
  try {
    // They were asked for as pipes. A program that has ended says so by its output.
    const stdin = child.stdio[0] as Writable
    stdin.on('error', () => {})
    stdin.write(`${JSON.stringify(left.map(nameOf))}\n`)
    const lines = createInterface({ input: child.stdio[1] as Readable })[Symbol.asyncIterator]()
    for (const info of left) {
      const { value } = await abortable(lines.next(), AbortSignal.any([signal, timeout.signal]))
      places.set(info, takeOver(info.path, child.pid, String(value)))
    }
  } finally {
    clearTimeout(timer)
  }
}

/** `word` is what the program said: a descriptor of its own, or why it has none. */
function takeOver(path: string, pid: number, word: string): HeldPath {
  if (/^\d+$/.test(word)) return heldAt(openSync(`/proc/${pid}/fd/${word}`, O_PATH), path)
  const number = Object.entries(os.errno).find(([name]) => name === word)?.[1]
  const cause = number === undefined ? new Error(`the program ended early: ${word}`) : new SystemCallError(number)
  throw new CodedError('failed_precondition', `open ${quote(path)}`, { cause })
}

export function holdBeneath(root: string, path: string): HeldPath | undefined {
  using base = heldAt(openSync(root, O_PATH), root)
  const fd = libc.openat2(base.fd, path === '' ? '.' : path, openHow(O_PATH, RESOLVE.beneath | RESOLVE.noSymlinks))
  if (fd >= 0) return heldAt(fd, path === '' ? root : `${root}/${path}`)
  const number = errno()
  if (number === os.errno.ENOENT || number === os.errno.ENOTDIR) return undefined
  if (number === os.errno.ELOOP) throw invalid(`${quote(path)} goes through a symbolic link`)
  if (number === os.errno.EXDEV) throw invalid(`${quote(path)} leads out of its directory`)
  throw callFailed(`open ${root}/${path}`, number)
}

function heldAt(fd: number, path: string): HeldPath {
  const type = fileTypes.get(statx('', AT.emptyPath, fd)?.type ?? 0)
  if (type === undefined) {
    closeSync(fd)
    throw precondition(`${quote(path)} is of no known type`)
  }
  return {
    fd,
    path,
    type,
    realPath: () => readlinkSync(`/proc/self/fd/${fd}`),
    [Symbol.dispose]: () => closeSync(fd),
  }
}
