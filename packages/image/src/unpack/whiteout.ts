// Whiteouts: from the form of image-spec layer.md (`.wh.` files) to that of overlayfs (character device 0:0, trusted.overlay.opaque).
import type { Stats } from 'node:fs'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { baseOf, parentOf } from '../tar/entry.ts'
import { archiveError, show } from '../tar/errors.ts'

const prefix = '.wh.'
const reserved = '.wh..wh.'
const opaqueName = '.wh..wh..opq'

export type Whiteout = { readonly kind: 'ignored' } | { readonly kind: 'opaque' | 'remove'; readonly path: Buffer }

/** What a path means as a whiteout; undefined for an ordinary one. Throws when it names a whiteout of nothing, or a whiteout as a directory. */
export function whiteoutOf(path: Buffer): Whiteout | undefined {
  if (!path.includes(prefix)) return undefined
  const parent = parentOf(path)
  const base = baseOf(path)
  if (hasWhiteoutComponent(parent)) throw archiveError(`the path ${show(path)} goes through a whiteout`)
  const name = base.toString('latin1')
  if (!name.startsWith(prefix)) return undefined
  if (name === opaqueName) return { kind: 'opaque', path: parent }
  // Left over by AUFS: `.wh..wh.plnk` and the like.
  if (name.startsWith(reserved)) return { kind: 'ignored' }
  const target = name.slice(prefix.length)
  if (target === '' || target === '.' || target === '..') throw archiveError(`the whiteout ${show(path)} names nothing`)
  const rest = base.subarray(prefix.length)
  return { kind: 'remove', path: parent.length === 0 ? rest : Buffer.concat([parent, Buffer.from('/'), rest]) }
}

const hasWhiteoutComponent = (path: Buffer): boolean =>
  path
    .toString('latin1')
    .split('/')
    .some((part) => part.startsWith(prefix))

/** Whether a file is overlayfs's own whiteout. */
export const isWhiteoutNode = (stat: Stats): boolean => stat.isCharacterDevice() && stat.rdev === 0

/**
 * Says that there are whiteouts in the directory. Where no lower layer has it overlayfs would list them, as names that nobody can look
 * up; it looks for them in directories that may be copies of lower ones, of which the origin (unknown: empty) is this mark.
 */
export const markHiding = (sys: UnpackSyscalls, directory: Buffer): void =>
  // `/.`: the path may be a link to it.
  sys.setXattr(Buffer.concat([directory, Buffer.from('/.')]), 'trusted.overlay.origin', Buffer.alloc(0))

/** Hides what lower layers have in the directory. */
export const markOpaque = (sys: UnpackSyscalls, directory: Buffer): void =>
  sys.setXattr(directory, 'trusted.overlay.opaque', Buffer.from('y'))
