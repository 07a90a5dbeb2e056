// Making and removing cgroup directories.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { type Hierarchy, words } from './layout.ts'

const log = logger('host')

/** The components of a cgroup path such as `/kubepods/pod1`. Throws `invalid_argument` for one that could leave the hierarchy. */
export function cgroupParts(path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '')
  if (!path.startsWith('/') || path.includes('\0') || parts.some((part) => part === '.' || part === '..'))
    throw invalid(`cgroup path ${quote(path)} must be absolute, without "." and ".."`)
  return parts
}

/** Like cgroupParts(), but refuses the root itself. */
export function properParts(path: string): readonly string[] {
  const parts = cgroupParts(path)
  if (parts.length === 0) throw invalid(`cgroup path ${quote(path)} must not be the root`)
  return parts
}

/** mkdir -p below one hierarchy, with what children need from their parents. True when the last directory is new. */
export function makeCgroup(hierarchy: Hierarchy, parts: readonly string[]): boolean {
  let directory = hierarchy.root
  let made = false
  for (const part of parts) {
    if (hierarchy.version === 2) passControllersOn(directory)
    const child = `${directory}/${part}`
    made = makeOne(child)
    // An empty cpuset takes no process.
    if (hierarchy.controllers.includes('cpuset') && hierarchy.version === 1) inheritCpuset(directory, child)
    directory = child
  }
  return made
}

function makeOne(path: string): boolean {
  return unlessErrno(
    ['EEXIST'],
    () => {
      mkdirSync(path, 0o755)
      return true
    },
    false,
  )
}

function inheritCpuset(parent: string, child: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (!existsSync(`${child}/${file}`) || readFileSync(`${child}/${file}`, 'latin1').trim() !== '') continue
    writeFileSync(`${child}/${file}`, readFileSync(`${parent}/${file}`, 'latin1').trim())
  }
}

// Children of a v2 cgroup have only the controllers that it passes on.
function passControllersOn(directory: string): void {
  const available = words(readIfThere(`${directory}/cgroup.controllers`))
  const passed = words(readIfThere(`${directory}/cgroup.subtree_control`))
  for (const controller of available.filter((name) => !passed.includes(name))) {
    try {
      writeFileSync(`${directory}/cgroup.subtree_control`, `+${controller}`)
    } catch (err) {
      // EBUSY: it holds processes itself. The limits of that controller will be missed when they are set, with a better message.
      log.debug('controller cannot be passed on', { directory, controller, error: String(err) })
    }
  }
}

export function readIfThere(path: string): string {
  return unlessErrno(['ENOENT', 'ENODEV', 'ENOTDIR'], () => readFileSync(path, 'latin1'), '')
}

/** The cgroup and those below it, parents first. Absent: empty. */
export function subtree(directory: string): readonly string[] {
  const found: string[] = []
  const queue = [directory]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const entries = unlessErrno(
      ['ENOENT', 'ENOTDIR', 'ENODEV'],
      () => readdirSync(next as string, { withFileTypes: true }),
      undefined,
    )
    if (entries === undefined) continue
    found.push(next)
    for (const entry of entries) if (entry.isDirectory()) queue.push(`${next}/${entry.name}`)
  }
  return found
}

/** One attempt to remove a cgroup with all below it. False while it is busy. */
export function removeCgroup(directory: string): boolean {
  for (const path of subtree(directory).toReversed()) {
    try {
      rmdirSync(path)
    } catch (err) {
      if (isErrno(err, 'EBUSY', 'ENOTEMPTY')) return false
      if (!isErrno(err, 'ENOENT')) throw err
    }
  }
  return true
}

/** Pids in a cgroup and below it. */
export function pidsBelow(directory: string): readonly number[] {
  const pids = new Set<number>()
  // 0: a process of another PID namespace.
  for (const path of subtree(directory))
    for (const pid of words(readProcs(`${path}/cgroup.procs`)).map(Number)) if (pid > 0) pids.add(pid)
  return [...pids]
}

// EOPNOTSUPP: a threaded v2 cgroup tells its processes only at the domain above.
function readProcs(path: string): string {
  return unlessErrno(['EOPNOTSUPP', 'ENOTSUP'], () => readIfThere(path), '')
}
