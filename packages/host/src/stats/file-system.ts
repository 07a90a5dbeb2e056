import { statfsSync, statSync } from 'node:fs'
import { deviceName } from './block-io.ts'
import type { FileSystemSize } from './door.ts'

export function readFileSystem(path: string): FileSystemSize {
  const { bsize, blocks, files, ffree } = statfsSync(path)
  const { dev } = statSync(path)
  // makedev(3)
  const major = (dev >>> 8) & 0xfff
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00)
  return { device: deviceName(`${major}:${minor}`), totalBytes: blocks * bsize, inodes: files, freeInodes: ffree }
}
