// Small files of the kernel kept open between readings: finding one by its path costs three times as much as reading it.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { monotonicMs } from '@coracle/base/clock'
import { errnoOf } from '@coracle/base/errno'
import { openFileLimit } from '../features.ts'
import { absent, type ReadFile, readSmall } from './read-small.ts'

interface Kept {
  readonly fd: number
  usedMs: number
}

/** Each holds a page of the kernel. What is beyond is opened anew each time. */
const mostKept = 3072
const unusedMs = 60_000

const buffer = Buffer.allocUnsafe(64 * 1024)

/** Reads like `readSmall`, of files that are asked for again and again. Those of a removed cgroup are closed at the next look. */
export function createKeptFiles(most = affordable()): ReadFile {
  const files = new Map<string, Kept>()
  let timer: NodeJS.Timeout | undefined
  const forget = (path: string, { fd }: Kept) => {
    files.delete(path)
    closeSync(fd)
  }
  const closeUnused = () => {
    const now = monotonicMs()
    for (const [path, kept] of files) if (now - kept.usedMs > unusedMs) forget(path, kept)
    if (files.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
  const keep = (path: string): Kept => {
    const kept = { fd: openSync(path, 'r'), usedMs: 0 }
    files.set(path, kept)
    timer ??= setInterval(closeUnused, unusedMs).unref()
    return kept
  }
  return (path) => {
    const known = files.get(path)
    if (known !== undefined) {
      const text = readAgain(known)
      if (text !== undefined) return text
      // Its cgroup is gone, but there may be a new one of that name.
      forget(path, known)
    }
    if (files.size >= most) return readSmall(path)
    try {
      const kept = keep(path)
      const text = readAgain(kept)
      if (text === undefined) forget(path, kept)
      return text
    } catch (err) {
      if (absent.includes(errnoOf(err) ?? '')) return undefined
      // No more may be open.
      return readSmall(path)
    }
  }
}

function readAgain(kept: Kept): string | undefined {
  kept.usedMs = monotonicMs()
  try {
    let length = 0
    // A file of the kernel may be told in pieces.
    for (let more = -1; more !== 0 && length < buffer.length; length += more) {
      more = readSync(kept.fd, buffer, length, buffer.length - length, length)
      if (more < 2048 && length === 0) return buffer.toString('latin1', 0, more)
    }
    return buffer.toString('latin1', 0, length)
  } catch {
    return undefined
  }
}

function affordable(): number {
  const { soft } = openFileLimit(readFileSync('/proc/self/limits', 'latin1'))
  return Math.min(mostKept, Math.floor(soft / 4))
}
