// Second mounts of trees (open_tree(2)), idmapped (mount_setattr(2)) or as they are: ids change on the way between a file system and who
// looks at it, no file is touched.
import { closeSync, constants as fs, fstatSync, mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs'
import { constants as os } from 'node:os'
import { CodedError, precondition } from '@coracle/base/errors'
import type { IdMapping } from '@coracle/oci-spec/runtime-spec'
import type { CloneRequest, SpreadMount, UserMappings } from './host.ts'
import { O_CLOEXEC, O_PATH, openHow, RESOLVE } from './in-root.ts'
import { callFailed, errno, libc, SystemCallError } from './libc.ts'
import { parseMountInfo } from './mountinfo.ts'
import { AT_RECURSIVE, OPEN_TREE_CLONE, openTree } from './open-tree.ts'
import { AT, statx } from './statx.ts'

const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x00100000

export async function mountClone(request: CloneRequest, signal: AbortSignal): Promise<void> {
  const { source, held, destination, usernsPath, recursive, timeoutMs } = request
  const flags = OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0)
  // What is held is there already.
  const deadline = timeoutMs === undefined || held !== undefined ? {} : { timeoutMs }
  const tree = await openTree({ from: held?.fd ?? source, flags, name: source, ...deadline }, signal)
  try {
    if (usernsPath !== undefined) {
      const userns = openSync(usernsPath, 'r')
      try {
        mapTree(tree, userns, request)
      } finally {
        closeSync(userns)
      }
    }
    attach(tree, destination, `${source}${recursive ? ' and all below' : ''}`)
  } finally {
    closeSync(tree)
  }
}

function attach(tree: number, destination: string, what: string): void {
  makeTarget(tree, destination)
  if (libc.moveMount(tree, '', AT.fdcwd, destination, MOVE_MOUNT_F_EMPTY_PATH) === 0) return
  const number = errno()
  // The target is there: it was just made.
  if (number === os.errno.ENOENT) throw precondition(`${what} was removed after it had been opened`)
  throw callFailed(`mount ${what} at ${destination}`, number)
}

export function spread(directory: string, visitors: UserMappings): readonly SpreadMount[] {
  const prefix = `${realpathSync(directory)}/`
  const paths = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    .filter(({ target }) => target.startsWith(prefix))
    .map(({ target }) => target.slice(prefix.length))
  if (paths.length === 0) return []
  const depth = (path: string) => (path === '.' ? 0 : path.split('/').length)
  return [...new Set(['.', ...paths])]
    .sort((a, b) => depth(a) - depth(b))
    .map((path, i) => ({ path, source: `${directory}.${i}` }))
    .filter(({ path, source }) => spreadOne({ directory, path, visitors }, source))
}

interface OneMount {
  readonly directory: string
  readonly path: string
  readonly visitors: UserMappings
}

// The directories on the way belong to whoever has the volume: a link there must not lead elsewhere. False: nothing is to be seen there,
// since another mount hides it, it has gone meanwhile, or the visitors cannot go there.
function spreadOne({ directory, path, visitors }: OneMount, destination: string): boolean {
  using open = new DisposableStack()
  const held = (fd: number) => open.adopt(fd, closeSync)
  const root = held(openSync(directory, O_PATH))
  const below = (name: string): number | undefined => {
    const fd = libc.openat2(root, name, openHow(O_PATH, RESOLVE.beneath | RESOLVE.noSymlinks))
    if (fd >= 0) return held(fd)
    const number = errno()
    if (number === os.errno.ENOENT || number === os.errno.ENOTDIR) return undefined
    throw callFailed(`open ${directory}/${name}`, number)
  }
  const parts = path.split('/')
  for (let depth = 0; depth < parts.length && path !== '.'; depth++) {
    const parent = below(depth === 0 ? '.' : parts.slice(0, depth).join('/'))
    if (parent === undefined || !canEnter(parent, visitors)) return false
  }
  const fd = below(path)
  if (fd === undefined) return false
  if (statx('', AT.emptyPath, fd)?.isMountRoot !== true) return false
  const tree = libc.openTree(fd, '', OPEN_TREE_CLONE | O_CLOEXEC | AT.emptyPath)
  if (tree < 0) throw callFailed(`open the mount at ${directory}/${path}`)
  attach(held(tree), destination, path)
  return true
}

/** Whether the root of a user namespace can go through a directory: by its capabilities over its own ids, else as anybody. */
function canEnter(fd: number, { uids, gids }: UserMappings): boolean {
  const { uid, gid, mode } = fstatSync(fd)
  const has = (mappings: readonly IdMapping[], id: number) =>
    mappings.some(({ hostID, size }) => id >= hostID && id < hostID + size)
  return (mode & 0o001) !== 0 || (has(uids, uid) && has(gids, gid))
}

function makeTarget(tree: number, destination: string): void {
  const isDirectory = statx('', AT.emptyPath, tree)?.type === fs.S_IFDIR
  if (isDirectory) mkdirSync(destination, { recursive: true, mode: 0o700 })
  else closeSync(openSync(destination, 'a', 0o600))
}

function mapTree(tree: number, userns: number, { source, held, recursive }: CloneRequest): void {
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
    `map the ids of ${source}: expected file systems that can be mounted idmapped, and are not yet: ${mountsOf(held?.realPath() ?? source, recursive)}`,
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
