// A place for clones of trees: what is mounted there is for whoever is told its path, and for nobody else.
import { mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { callFailed, libc, offThread } from './libc.ts'
import { mountFlags } from './mount-options.ts'
import { detach, detachFlags, isMountPoint, leavePeers } from './mounts.ts'

/** Not shared, so that no other namespace gets what is mounted in it; unbindable, so that no bind of what lies above takes it along. */
export function enclose(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (libc.mount(directory, directory, null, mountFlags.bind, null) !== 0) throw callFailed(`bind ${directory}`)
  if (libc.mount('none', directory, null, mountFlags.unbindable, null) !== 0) throw callFailed(`make ${directory} unbindable`)
}

export async function dissolve(directory: string): Promise<void> {
  if (isMountPoint(directory)) {
    leavePeers(directory)
    // The kernel waits for all processors before it lets go: not on the main thread.
    await offThread.umount2(directory, detachFlags)
    // What failed there, or is stacked.
    detach(directory)
  }
  removePlaces(directory)
}

/**
 * The places that things were mounted on, and those of pins, which are one level deeper. A mount that is left, because the directory was not
 * enclosed, is taken away first; nothing in one is ever removed.
 */
function removePlaces(directory: string): void {
  for (const entry of unlessErrno(['ENOENT'], () => readdirSync(directory, { withFileTypes: true }), [])) {
    const path = join(directory, entry.name)
    detach(path)
    if (!entry.isDirectory()) unlinkSync(path)
    else removeDirectory(path)
  }
  unlessErrno(['ENOENT'], () => rmdirSync(directory), undefined)
}

function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch (err) {
    if (!isErrno(err, 'ENOTEMPTY')) throw err
    for (const name of readdirSync(path)) unlinkSync(join(path, name))
    rmdirSync(path)
  }
}
