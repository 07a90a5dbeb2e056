// Which paths of /proc and /sys are hidden or read-only, told from the mounts that do it.
import type { MountInfo } from '../host.ts'

/**
 * Runtimes hide a file below a bind of a null device and a directory below an empty read-only tmpfs or directory; a read-only path is
 * one more mount of its own file system. Of several mounts at one target the last counts.
 */
export function masksAmong(mounts: readonly MountInfo[]): {
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
} {
  const topmost = new Map(mounts.filter(({ target }) => /^\/(proc|sys)\/./.test(target)).map((mount) => [mount.target, mount]))
  const maskedPaths: string[] = []
  const readonlyPaths: string[] = []
  for (const mount of topmost.values()) {
    if (isNull(mount) || isEmptyDirectory(mount)) maskedPaths.push(mount.target)
    else if (isOwnAgain(mount) && mount.options.includes('ro')) readonlyPaths.push(mount.target)
  }
  return { maskedPaths: maskedPaths.sort(), readonlyPaths: readonlyPaths.sort() }
}

const isNull = ({ root, type }: MountInfo): boolean => root === '/null' && (type === 'devtmpfs' || type === 'tmpfs')

// The cgroup tree of v1 is a tmpfs, too, but not an empty one: its hierarchies are mounted in it.
const isEmptyDirectory = ({ target, type, options }: MountInfo): boolean =>
  type === 'tmpfs' && options.includes('ro') && !target.startsWith('/sys/fs/cgroup')

const isOwnAgain = ({ target, type, root }: MountInfo): boolean =>
  (target.startsWith('/proc/') && type === 'proc' && root !== '/') ||
  (target.startsWith('/sys/') && type === 'sysfs' && root !== '/')
