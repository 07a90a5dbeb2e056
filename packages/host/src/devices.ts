import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { failed } from '@coracle/base/errors'
import type { LinuxDevice } from '@coracle/oci-spec/runtime-spec'

/** The device node of the host at `path`, links followed, or all in that directory and below it. Empty when there is none. */
export function devicesAt(path: string): readonly LinuxDevice[] {
  const stat = unlessErrno(['ENOENT', 'ENOTDIR'], () => statSync(path), undefined)
  if (stat === undefined) return []
  if (stat.isDirectory()) return devicesBelow(path)
  const device = deviceOf(path, stat)
  return device === undefined ? [] : [device]
}

// The runtime makes these for each container, or they are no devices of the machine.
const skippedDirectories: ReadonlySet<string> = new Set([
  'pts',
  'shm',
  'fd',
  'mqueue',
  'hugepages',
  '.lxc',
  '.lxd-mounts',
  '.udev',
])
const skippedFiles: ReadonlySet<string> = new Set(['console'])

/** All devices below /dev, for privileged containers. Without links and without what each container has of its own. */
export function hostDevices(directory = '/dev'): readonly LinuxDevice[] {
  return devicesBelow(directory, true)
}

/** Links are left out: they name what has a name of its own. */
function devicesBelow(directory: string, isTop = false): readonly LinuxDevice[] {
  const found: LinuxDevice[] = []
  const entries = unlessErrno(['ENOENT'], () => readdirSync(directory, { withFileTypes: true }), [])
  for (const entry of entries) {
    const path = `${directory}/${entry.name}`
    if (entry.isDirectory()) {
      if (!(isTop && skippedDirectories.has(entry.name))) found.push(...devicesBelow(path))
    } else if (!(isTop && skippedFiles.has(entry.name))) {
      const device = deviceAt(path)
      if (device !== undefined) found.push(device)
    }
  }
  return found
}

// Devices come and go while we look.
function deviceAt(path: string): LinuxDevice | undefined {
  try {
    const stat = unlessErrno(['ENOENT'], () => lstatSync(path), undefined)
    return stat === undefined ? undefined : deviceOf(path, stat)
  } catch (err) {
    throw failed(`look at device ${path}`, err)
  }
}

function deviceOf(path: string, stat: Stats): LinuxDevice | undefined {
  const type = stat.isCharacterDevice() ? 'c' : stat.isBlockDevice() ? 'b' : undefined
  if (type === undefined) return undefined
  const { major, minor } = deviceNumbers(stat.rdev)
  return { path, type, major, minor, fileMode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid }
}

/** Splits a dev_t as makedev(3) of Linux joins it: 12 bits of major between 8 and 12 bits of minor. */
export function deviceNumbers(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) }
}
