import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
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
  writeFileSync(temporary, own, { mode: 0o600 })
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        linkSync(temporary, path)
        break
      } catch (err) {
        if (!isErrno(err, 'EEXIST') || attempt > 3) throw err
        refuseLiving(path, directory, processes)
        rmSync(path, { force: true })
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

function refuseLiving(path: string, directory: string, processes: Pick<Processes, 'identify'>): void {
  const [pid = '', startTime = ''] = readFileSync(path, 'utf8').trim().split(' ')
  const living = /^\d+$/.test(pid) ? processes.identify(Number(pid)) : undefined
  if (living !== undefined && `${living.startTime}` === startTime) {
    throw new CodedError(
      'already_exists',
      `another coracled (pid ${pid}) uses ${directory}: stop it first, or give this one other directories`,
    )
  }
}
