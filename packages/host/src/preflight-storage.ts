import { existsSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Finding } from './preflight.ts'

const OVERLAYFS = 0x794c7630
const NFS = 0x6969
const minFreeBytes = 2n ** 30n
const minFreePercent = 10n

/** Free bytes and inodes where `directory` is or will be, and whether overlay can keep its upper directory there. */
export function checkDirectory(directory: string): readonly Finding[] {
  const check = `storage at ${directory}`
  const stat = statfsSync(nearest(directory), { bigint: true })
  const findings: Finding[] = []
  if (Number(stat.type) === OVERLAYFS || Number(stat.type) === NFS) {
    const kind = Number(stat.type) === NFS ? 'a network file system' : 'itself an overlay'
    findings.push({ check, state: 'missing', detail: `it is ${kind}`, remedy: 'use a local disk with ext4 or xfs' })
  }
  const freeBytes = stat.bavail * stat.bsize
  const bytes = share(stat.bavail, stat.blocks)
  const low = freeBytes < minFreeBytes || bytes < minFreePercent
  const detail = `${freeBytes / 2n ** 20n} MiB free (${bytes} %)`
  findings.push(low ? { check, state: 'warning', detail, remedy: 'free some space' } : { check, state: 'ok', detail })
  // File systems that make inodes as they need them say 0.
  if (stat.files > 0n) {
    const inodes = share(stat.ffree, stat.files)
    const text = `${stat.ffree} inodes free (${inodes} %)`
    findings.push(
      inodes < minFreePercent
        ? { check, state: 'warning', detail: text, remedy: 'remove files' }
        : { check, state: 'ok', detail: text },
    )
  }
  return findings
}

const share = (part: bigint, whole: bigint): bigint => (whole === 0n ? 0n : (part * 100n) / whole)

function nearest(directory: string): string {
  let path = directory
  while (!existsSync(path) && path !== dirname(path)) path = dirname(path)
  return path
}
