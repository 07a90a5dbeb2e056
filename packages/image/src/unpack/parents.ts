// Directories that an archive leaves out: made as they are needed, below the root that the thread is confined to.
import { lstatSync, readlinkSync, statSync, unlinkSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { cleanPath, parentOf } from '../tar/entry.ts'
import { archiveError, show } from '../tar/errors.ts'
import type { Extractor } from './extract.ts'
import { isWhiteoutNode, markOpaque } from './whiteout.ts'

const maxLinks = 40

/** Makes every missing parent of `path`, following links as chroot(2) would, also those that lead to nothing yet. */
export function makeParents(extractor: Extractor, path: Buffer, links = 0): void {
  const parent = parentOf(path)
  if (parent.length > 0) makeDirectories(extractor, parent, links)
}

function makeDirectories(extractor: Extractor, path: Buffer, links: number): void {
  for (let end = nextSlash(path, 0); ; end = nextSlash(path, end + 1)) {
    makeDirectory(extractor, path.subarray(0, end), links)
    if (end === path.length) return
  }
}

function nextSlash(path: Buffer, from: number): number {
  const at = path.indexOf('/', from)
  return at < 0 ? path.length : at
}

function makeDirectory(extractor: Extractor, path: Buffer, links: number) {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return extractor.makeImplied(path)
  if (stat.isDirectory()) return
  if (isWhiteoutNode(stat)) {
    unlinkSync(path)
    extractor.makeImplied(path)
    return markOpaque(extractor.sys, path)
  }
  if (!stat.isSymbolicLink()) throw archiveError(`its parent ${show(path)} is not a directory`)
  if (leadsToDirectory(path)) return
  if (links >= maxLinks) throw archiveError(`its parent ${show(path)} is a loop of links`)
  const target = readlinkSync(path, { encoding: 'buffer' })
  const absolute = target[0] === 0x2f ? target : Buffer.concat([Buffer.from('/'), parentOf(path), Buffer.from('/'), target])
  const cleaned = cleanPath(absolute)
  if (cleaned.length === 0) return
  makeDirectories(extractor, cleaned, links + 1)
}

function leadsToDirectory(path: Buffer): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat !== undefined && !stat.isDirectory()) throw archiveError(`its parent ${show(path)} is not a directory`)
    return stat !== undefined
  } catch (err) {
    if (isErrno(err, 'ELOOP')) throw archiveError(`its parent ${show(path)} is a loop of links`, err)
    if (isErrno(err, 'ENOTDIR')) return false
    throw err
  }
}
