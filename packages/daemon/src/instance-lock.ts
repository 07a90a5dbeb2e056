import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { Processes } from '@coracle/host'

/**
 * Claims a directory for this process until it is disposed or the process is gone. Throws `already_exists` naming the pid of the
 * living process that holds it. The file appears with its content at once (link(2)), so that no reader sees half of it.
 */
export function lockDirectory(directory: string, processes: Pick<Processes, 'identify'>): Disposable {
  const path = join(directory, 'coracled.pid')
  const own = `${process.pid} ${processes.identify(process.pid)?.startTime ?? 0n}\n`
  const temporary = `${path}.${process.pid}`
  // A process with the same pid, as in containers, may have left one.
  rmSync(temporary, { force: true })
  writeFileSync(temporary, own, { mode: 0o600, flag: 'wx' })
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        linkSync(temporary, path)
        break
      } catch (err) {
        if (!isErrno(err, 'EEXIST') || attempt > 3) throw err
        removeStale(path, directory, processes)
      }
    }
  } finally {
    rmSync(temporary, { force: true })
  }
  return {
    [Symbol.dispose]: () => {
      if (existsSync(path) && readFileSync(path, 'utf8') === own) rmSync(path, { force: true })
    },
  }
}

function removeStale(path: string, directory: string, processes: Pick<Processes, 'identify'>): void {
  refuseLiving(readLock(path), directory, processes)
  // Another one may have found it stale, too, and have put its own there since: only what was taken away is removed.
  const aside = `${path}.${process.pid}.stale`
  try {
    renameSync(path, aside)
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return
    throw err
  }
  try {
    refuseLiving(readLock(aside), directory, processes)
  } catch (err) {
    linkSync(aside, path)
    throw err
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Empty when it has gone meanwhile. */
const readLock = (path: string): string => unlessErrno(['ENOENT'], () => readFileSync(path, 'utf8'), '')

function refuseLiving(content: string, directory: string, processes: Pick<Processes, 'identify'>): void {
  const [pid = '', startTime = ''] = content.trim().split(' ')
  const living = /^\d+$/.test(pid) ? processes.identify(Number(pid)) : undefined
  if (living !== undefined && `${living.startTime}` === startTime) {
    throw new CodedError(
      'already_exists',
      `another coracled (pid ${pid}) uses ${directory}: stop it first, or give this one other directories`,
    )
  }
}
