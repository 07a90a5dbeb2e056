import type { CgroupDriver } from '@coracle/host'

/**
 * The cgroup that `linux.cgroupsPath` of runtime-spec means: an absolute path for cgroupfs, `slice:prefix:name` for systemd, where the
 * dashes of a slice are its ancestors (systemd.slice(5)). Undefined when the runtime chooses.
 */
export function cgroupOf(cgroupsPath: string, driver: CgroupDriver): string | undefined {
  if (driver === 'cgroupfs') return cgroupsPath.startsWith('/') ? cgroupsPath : undefined
  const [slice, prefix, name] = cgroupsPath.split(':')
  if (slice === undefined || prefix === undefined || name === undefined || name === '') return undefined
  const unit = name.endsWith('.slice') ? name : prefix === '' ? `${name}.scope` : `${prefix}-${name}.scope`
  return `${expandSlice(slice === '' ? 'system.slice' : slice)}/${unit}`
}

function expandSlice(slice: string): string {
  if (slice === '-.slice') return ''
  const words = slice.replace(/\.slice$/, '').split('-')
  return words.map((_word, index) => `/${words.slice(0, index + 1).join('-')}.slice`).join('')
}
