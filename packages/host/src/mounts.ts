import { closeSync, constants, openSync, readFileSync, realpathSync } from 'node:fs'
import { constants as os } from 'node:os'
import { resolve } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, doing, invalid } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { delay } from '@coracle/base/signals'
import type { Mount } from '@coracle/oci-spec/mount'
import { dissolve, enclose } from './clone-place.ts'
import type { HeldPath, MountInfo, Mounts } from './host.ts'
import { callFailed, errno, libc, offThread, SystemCallError } from './libc.ts'
import { mountClone, spread } from './mount-clone.ts'
import { mountFlags, parseMountOptions } from './mount-options.ts'
import { mountLayers } from './mount-overlay.ts'
import { mountsBelow, parseMountInfo } from './mountinfo.ts'
import { shortenOverlay } from './overlay-options.ts'
import { AT, statx } from './statx.ts'

const log = logger('host')

const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
/** Of umount2(2). */
export const detachFlags = MNT_DETACH | UMOUNT_NOFOLLOW
const busyMs = 10_000
// mount(2) copies one page of data, its last byte must be NUL.
const maxDataBytes = 4095
// Read-only, nosuid, nodev, noexec: of one value for mount(2) and for fsmount(2).
const plainFlags = 15

export function createMounts(): Mounts {
  return {
    mount,
    mountClone,
    enclose,
    dissolve,
    spread,
    detach,
    unmount,
    unmountBelow,
    list,
    isMountPoint,
    propagationOf,
    syncFileSystem,
  }
}

function mount(mount: Mount): void {
  const options = parseMountOptions(mount.options)
  const flags = mount.type === 'bind' ? options.flags | mountFlags.bind : options.flags
  const isBind = (flags & mountFlags.bind) !== 0 && (flags & mountFlags.remount) === 0
  using data = shortenOverlay(mount.type, options.data, maxDataBytes)
  const isTooLong = Buffer.byteLength(data.text) > maxDataBytes
  if (isTooLong && mount.type === 'overlay' && flags <= plainFlags && options.propagation.length === 0) {
    mountLayers(mount.destination, options.data, flags)
    return
  }
  if (isTooLong)
    throw invalid(
      `mount options of ${mount.destination} must fit into ${maxDataBytes} bytes, they are ${Buffer.byteLength(data.text)}`,
    )
  // Without a type only the propagation of what is mounted there changes.
  const changesOnly = options.propagation.length > 0 && flags === 0 && (mount.type === 'none' || mount.type === '')
  if (!changesOnly) {
    const first = isBind ? flags & (mountFlags.bind | mountFlags.rec) : flags
    call(mount, first, data.text)
    if (isBind) restrictBind(mount, flags, options.cleared)
  }
  for (const propagation of options.propagation) call(mount, propagation, '')
}

// A bind takes its flags only from a second call, which replaces all of them: those of the source stay unless a word says otherwise.
function restrictBind(mount: Mount, flags: number, cleared: number): void {
  const wanted = flags & ~(mountFlags.bind | mountFlags.rec)
  if (wanted === 0 && cleared === 0) return
  const kept = inheritedFlags(mount.destination) & ~cleared
  try {
    call(mount, wanted | kept | mountFlags.bind | mountFlags.remount, '')
  } catch (err) {
    libc.umount2(mount.destination, detachFlags)
    throw err
  }
}

function inheritedFlags(target: string): number {
  // struct statvfs of 64-bit Linux: f_flag is its tenth word; its low four bits are those of mount(2).
  const out = new BigUint64Array(16)
  const bytes = new Uint8Array(out.buffer)
  if (libc.statvfs(target, bytes) !== 0) throw callFailed(`read the mount flags of ${target}`)
  return Number((out[9] ?? 0n) & 15n)
}

function call(mount: Mount, flags: number, data: string): void {
  const result = libc.mount(mount.source, mount.destination, mount.type, flags, data === '' ? null : data)
  if (result !== 0) throw callFailed(`mount ${mount.type} at ${mount.destination}`)
}

export function detach(target: string): void {
  while (isMountPoint(target)) {
    leavePeers(target)
    if (libc.umount2(target, detachFlags) !== 0) {
      const number = errno()
      if (number !== os.errno.EINVAL && number !== os.errno.ENOENT) throw callFailed(`detach ${target}`, number)
      return
    }
  }
}

// What is unmounted below a shared mount goes from all its peers: detaching a clone of a tree would unmount what lies below the tree itself.
export function leavePeers(target: string): void {
  // Gone already, which the call that follows tells.
  libc.mount('none', target, null, mountFlags.rec | mountFlags.private, null)
}

async function unmount(target: string): Promise<void> {
  let wait = 5
  for (const until = performance.now() + busyMs; ; wait = Math.min(wait * 2, 500)) {
    // Stacked mounts: again until nothing is left.
    const number = await unmountOnce(target, UMOUNT_NOFOLLOW)
    if (number === 0) continue
    if (number === os.errno.EINVAL || number === os.errno.ENOENT) return
    if (number !== os.errno.EBUSY) throw new CodedError('internal', `unmount ${target}`, { cause: new SystemCallError(number) })
    if (performance.now() > until) break
    await delay(wait)
  }
  log.warn('mount stays busy, detached', { target })
  leavePeers(target)
  const number = await unmountOnce(target, detachFlags)
  if (number !== 0 && number !== os.errno.EINVAL && number !== os.errno.ENOENT)
    throw new CodedError('internal', `detach ${target}`, { cause: new SystemCallError(number) })
}

// Unmounting may write a file system back: never on the main thread. The errno of another thread cannot be read, so a failed
// call (which fails at once) is repeated here.
async function unmountOnce(target: string, flags: number): Promise<number> {
  if (!isMountPoint(target)) return os.errno.EINVAL
  if ((await offThread.umount2(target, flags)) === 0) return 0
  return libc.umount2(target, flags) === 0 ? 0 : errno()
}

async function unmountBelow(directory: string): Promise<void> {
  const root = realOrSame(directory)
  // Another round for what was mounted meanwhile.
  for (let round = 0; round < 3; round++) {
    const found = mountsBelow(list(), root)
    if (found.length === 0) return
    for (const { target } of found) leavePeers(target)
    for (const { target } of found) await unmount(target)
  }
  const left = mountsBelow(list(), root)
  if (left.length > 0)
    throw new CodedError('internal', `unmount below ${root}: ${left.length} mounts are left, first ${left[0]?.target}`)
}

function realOrSame(path: string): string {
  try {
    return realpathSync(path)
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return resolve(path)
    throw err
  }
}

function list(): readonly MountInfo[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

export function isMountPoint(path: string): boolean {
  try {
    return statx(path, AT.symlinkNofollow)?.isMountRoot ?? false
  } catch (err) {
    // What cannot even be looked at is a file system whose server is gone.
    if (err instanceof CodedError && isErrno(err.cause, 'ENOTCONN', 'EIO', 'ESTALE', 'EHOSTDOWN', 'ETIMEDOUT')) return true
    throw err
  }
}

function propagationOf({ fd }: HeldPath): 'private' | 'shared' | 'slave' {
  const holder = statx('', AT.emptyPath, fd)?.mountId
  const fields = list().find(({ id }) => id === holder)?.propagation ?? []
  if (fields.some((field) => field.startsWith('shared:'))) return 'shared'
  return fields.some((field) => field.startsWith('master:')) ? 'slave' : 'private'
}

function syncFileSystem(path: string): Promise<void> {
  return doing(`sync the file system of ${path}`, async () => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      if ((await offThread.syncfs(fd)) !== 0) throw new SystemCallError(os.errno.EIO)
    } finally {
      closeSync(fd)
    }
  })
}
