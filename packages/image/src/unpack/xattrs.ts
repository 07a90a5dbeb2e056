// Extended attributes of an archive: an allow-list, because overlayfs and the kernel's security modules read their own from the same place.
import { isErrno } from '@coracle/base/errno'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { archiveError } from '../tar/errors.ts'

export interface XattrTarget {
  readonly sys: UnpackSyscalls
  warn(text: string): void
}

type Rule = 'set' | 'set if possible' | 'drop' | 'drop with warning'

export function xattrRule(name: string): Rule {
  if (name === 'security.capability') return 'set'
  if (name.startsWith('trusted.') || name.startsWith('user.overlay.')) return 'drop with warning'
  if (name.startsWith('user.') || name === 'security.ima' || name.startsWith('system.posix_acl_')) return 'set if possible'
  return 'drop'
}

/** Sets what may be set. Throws `invalid_argument` for a capability that the kernel refuses and for what does not fit. */
export function applyXattrs(target: XattrTarget, path: Buffer, xattrs: ReadonlyMap<string, Buffer> | undefined): void {
  if (xattrs === undefined) return
  for (const [name, value] of xattrs) {
    const rule = xattrRule(name)
    if (rule === 'drop with warning') target.warn(`the extended attribute ${name} was left out`)
    if (rule !== 'set' && rule !== 'set if possible') continue
    try {
      target.sys.setXattr(path, name, value)
    } catch (err) {
      if (rule === 'set if possible' && isErrno(err, 'EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EACCES'))
        target.warn(`the extended attribute ${name} is not possible on this file`)
      else if (isErrno(err, 'EIO', 'EDQUOT')) throw err
      else throw archiveError(`its extended attribute ${name} of ${value.length} bytes`, err)
    }
  }
}
