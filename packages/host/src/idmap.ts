// Idmapped mounts (mount_setattr(2)): ids change on the way between a file system and who looks at it, no file is touched.
import { closeSync, constants as fs, mkdirSync, openSync, readFileSync } from 'node:fs'
import { constants as os } from 'node:os'
import { CodedError } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import type { IdmapRequest } from './host.ts'
import { callFailed, errno, libc, offThread, SystemCallError } from './libc.ts'
import { parseMountInfo } from './mountinfo.ts'
import { AT, statx } from './statx.ts'

const OPEN_TREE_CLONE = 1
const O_CLOEXEC = 0o2000000
const AT_RECURSIVE = 0x8000
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x00100000

export async function mountIdmapped(request: IdmapRequest, signal: AbortSignal): Promise<void> {
  const { source, destination, usernsPath, recursive } = request
  const tree = await cloneTree(request, signal)
  try {
    const userns = openSync(usernsPath, 'r')
    try {
      mapTree(tree, userns, request)
    } finally {
      closeSync(userns)
    }
    makeTarget(tree, destination)
    if (libc.moveMount(tree, '', AT.fdcwd, destination, MOVE_MOUNT_F_EMPTY_PATH) !== 0)
      throw callFailed(`mount ${source}${recursive ? ' and all below' : ''} idmapped at ${destination}`)
  } finally {
    closeSync(tree)
  }
}

/** The lookup may hang on a dead server: it has a thread of its own, which is then left behind. */
async function cloneTree({ source, recursive, timeoutMs }: IdmapRequest, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted()
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0)
  const opening = offThread.openTree(AT.fdcwd, source, flags)
  const given = new AbortController()
  const late = delay(timeoutMs, AbortSignal.any([signal, given.signal])).then(() => 'late' as const)
  try {
    const fd = await Promise.race([opening, late])
    if (fd === 'late') throw new CodedError('deadline_exceeded', `look at ${source}: no answer within ${timeoutMs} ms`)
    if (fd >= 0) return fd
  } catch (err) {
    void opening.then((fd) => {
      if (fd >= 0) closeSync(fd)
    })
    throw err
  } finally {
    given.abort()
    late.catch(() => {})
  }
  // It failed, so it does not hang; the errno of the other thread cannot be read.
  const again = libc.openTree(AT.fdcwd, source, flags)
  if (again < 0) throw callFailed(`open ${source}`)
  return again
}

function makeTarget(tree: number, destination: string): void {
  const isDirectory = statx('', AT.emptyPath, tree)?.type === fs.S_IFDIR
  if (isDirectory) mkdirSync(destination, { recursive: true, mode: 0o700 })
  else closeSync(openSync(destination, 'a', 0o600))
}

function mapTree(tree: number, userns: number, { source, recursive }: IdmapRequest): void {
  // struct mount_attr: attr_set, attr_clr, propagation, userns_fd, each of 64 bits.
  const attributes = Buffer.alloc(32)
  attributes.writeBigUInt64LE(BigInt(MOUNT_ATTR_IDMAP), 0)
  attributes.writeBigUInt64LE(BigInt(userns), 24)
  const flags = AT.emptyPath | (recursive ? AT_RECURSIVE : 0)
  if (libc.mountSetattr(tree, '', flags, attributes, attributes.length) === 0) return
  const number = errno()
  // EINVAL is what a file system without FS_ALLOW_IDMAP answers, EPERM one that belongs to another user namespace or is mapped already.
  if (number !== os.errno.EINVAL && number !== os.errno.EPERM) throw callFailed(`map the ids of ${source}`, number)
  throw new CodedError(
    'failed_precondition',
    `map the ids of ${source}: expected file systems that can be mounted idmapped, and are not yet: ${mountsOf(source, recursive)}`,
    { cause: new SystemCallError(number) },
  )
}

/** `TARGET (TYPE)` of the mount that holds a path, and of those below. From the mount table: the file system itself might not answer. */
function mountsOf(source: string, recursive: boolean): string {
  const all = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
  const holder = statx(source, 0)?.mountId
  const found = all.filter(({ id, target }) => id === holder || (recursive && target.startsWith(`${source}/`)))
  const named = found.slice(0, 8).map(({ target, type }) => `${target} (${type})`)
  return [...named, ...(found.length > named.length ? [`${found.length - named.length} more`] : [])].join(', ')
}
