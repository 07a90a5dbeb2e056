import { constants as os } from 'node:os'
import { callFailed, errno, libc } from './libc.ts'

export const AT = { fdcwd: -100, symlinkNofollow: 0x100, removeDir: 0x200, emptyPath: 0x1000 } as const

const AT_NO_AUTOMOUNT = 0x800
const AT_STATX_DONT_SYNC = 0x4000
const STATX_MNT_ID = 0x1000
const STATX_TYPE = 1
const STATX_ATTR_MOUNT_ROOT = 0x2000n

export interface MountPosition {
  readonly mountId: number
  /** The path is the root of its mount. */
  readonly isMountRoot: boolean
  /** File type bits, S_IFMT. */
  readonly type: number
}

/** Where a path lies in the mount table (statx(2), Linux 5.8); undefined when it does not exist. Does not ask a network's server. */
export function statx(path: string, flags: number, directory: number = AT.fdcwd): MountPosition | undefined {
  const out = Buffer.alloc(256)
  const all = flags | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC
  if (libc.statx(directory, path, all, STATX_MNT_ID | STATX_TYPE, out) !== 0) {
    const number = errno()
    if (number === os.errno.ENOENT || number === os.errno.ENOTDIR) return undefined
    throw callFailed(`look at ${path}`, number)
  }
  // Offsets of struct statx: attributes 8, mode 28, mount id 144.
  return {
    isMountRoot: (out.readBigUInt64LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0n,
    type: out.readUInt16LE(28) & 0o170000,
    mountId: Number(out.readBigUInt64LE(144)),
  }
}
