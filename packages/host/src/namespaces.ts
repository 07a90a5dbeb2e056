// Namespaces without a process: pinned by bind mounts of their nsfs files.
import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, unlinkSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { CodedError, failed } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { dial } from './dial.ts'
import type { NamespacePins, PinnedNamespace, PinRequest } from './host.ts'
import { callFailed, libc } from './libc.ts'
import { bringLoopbackUp } from './loopback.ts'
import { mountFlags } from './mount-options.ts'
import { detach, isMountPoint } from './mounts.ts'
import { writeSysctl } from './procfs.ts'
import { inNamespaces } from './thread-namespaces.ts'
import { holdUserNamespace, writeMappings } from './user-namespace.ts'

const kinds: readonly PinnedNamespace[] = ['net', 'ipc', 'uts', 'user']

export function createNamespacePins(): NamespacePins {
  return { pin, unpin, isPinned, setSysctls, dial }
}

function pin(request: PinRequest): void {
  const { directory } = request
  const made = mkdirSync(directory, { recursive: true, mode: 0o755 }) !== undefined
  const files: string[] = []
  try {
    for (const kind of pinned(request)) {
      const file = `${directory}/${kind}`
      if (isMountPoint(file)) throw new CodedError('already_exists', `${file} is pinned already`)
      closeSync(openSync(file, 'a', 0o444))
      files.push(file)
    }
    using holder = request.userMappings === undefined ? undefined : holdUserNamespace(request.kinds)
    inNamespaces(request.kinds, holder?.pidfd ?? 'new', () => {
      configure(request)
      for (const kind of request.kinds) bindNamespace(`/proc/thread-self/ns/${kind}`, `${directory}/${kind}`)
    })
    if (holder === undefined || request.userMappings === undefined) return
    // Only now: sysctls of IPC belong to the namespace's root once there is one, and we are not it.
    writeMappings(holder.pid, request.userMappings)
    bindNamespace(`/proc/${holder.pid}/ns/user`, `${directory}/user`)
  } catch (err) {
    for (const file of files) release(file)
    if (made) removeIfEmpty(directory)
    throw failed(`pin namespaces at ${directory}`, err)
  }
}

const pinned = ({ kinds, userMappings }: PinRequest): readonly PinnedNamespace[] =>
  userMappings === undefined ? kinds : [...kinds, 'user']

function configure(request: PinRequest): void {
  if (request.kinds.includes('net')) bringLoopbackUp()
  if (request.hostname !== undefined) {
    // Without its own namespace this would rename the host.
    if (!request.kinds.includes('uts'))
      throw new CodedError('invalid_argument', 'hostname must be set only with a new uts namespace')
    const name = Buffer.from(request.hostname)
    if (libc.sethostname(name, name.length) !== 0) throw callFailed(`set hostname ${request.hostname}`)
  }
  for (const [key, value] of Object.entries(request.sysctls ?? {})) writeSysctl(key, value)
}

function setSysctls(netnsPath: string, sysctls: Readonly<Record<string, string>>): void {
  if (Object.keys(sysctls).length === 0) return
  const netns = openSync(netnsPath, 'r')
  try {
    inNamespaces(['net'], netns, () => {
      for (const [key, value] of Object.entries(sysctls)) writeSysctl(key, value)
    })
  } finally {
    closeSync(netns)
  }
}

function bindNamespace(source: string, file: string): void {
  if (libc.mount(source, file, null, mountFlags.bind, null) !== 0) throw callFailed(`bind ${source} at ${file}`)
}

async function unpin(directory: string): Promise<void> {
  for (const kind of kinds) await releaseWhenFree(`${directory}/${kind}`)
  removeIfEmpty(directory)
}

const busyMs = 2000

// A detached pin was seen to stay busy for some milliseconds on a machine with much to do.
async function releaseWhenFree(file: string): Promise<void> {
  for (const until = performance.now() + busyMs; ; ) {
    try {
      release(file)
      return
    } catch (err) {
      const busy = err instanceof Error && isErrno(err.cause, 'EBUSY')
      if (!busy || performance.now() > until) throw err
      await delay(5)
    }
  }
}

function release(file: string): void {
  if (!existsSync(file)) return
  // Detached: a process that holds the file open must not keep the pin. Repeated for stacked mounts.
  detach(file)
  try {
    unlinkSync(file)
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw failed(`remove ${file}`, err)
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch (err) {
    if (!isErrno(err, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw failed(`remove ${directory}`, err)
  }
}

function isPinned(directory: string, kind: PinnedNamespace): boolean {
  return isMountPoint(`${directory}/${kind}`)
}
