import { execFileSync } from 'node:child_process'

/** Files that git tracks or would track, relative to `root`. */
export function trackedFiles(root: string): string[] {
  const out = execFileSync('git', ['-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    maxBuffer: 64 << 20,
  })
  return out.toString('utf8').split('\0').filter(Boolean)
}
