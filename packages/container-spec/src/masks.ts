// Paths of /proc and /sys that are hidden or read-only inside a container (hazards H-36, H-37).
import { parseAbsolute } from './paths.ts'
import type { SpecInput } from './spec-input.ts'
import { podMappings } from './user-namespace.ts'

export const defaultMaskedPaths: readonly string[] = [
  ...['asound', 'acpi', 'interrupts', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'].map(
    (name) => `/proc/${name}`,
  ),
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

export const defaultReadonlyPaths: readonly string[] = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`)

export const maskedPaths = (input: SpecInput): readonly string[] =>
  choose(input, 'masked_paths', input.config.linux?.securityContext?.maskedPaths ?? [], [
    ...defaultMaskedPaths,
    ...(input.host.thermalThrottlePaths ?? []),
  ])

export const readonlyPaths = (input: SpecInput): readonly string[] =>
  choose(input, 'readonly_paths', input.config.linux?.securityContext?.readonlyPaths ?? [], defaultReadonlyPaths)

// kubelet sends the whole list, or none for an unmasked proc mount, which Kubernetes allows only within a user namespace. Elsewhere an
// empty list comes from callers that know nothing of masks, and they get the defaults.
function choose(input: SpecInput, name: string, asked: readonly string[], defaults: readonly string[]): readonly string[] {
  const security = input.config.linux?.securityContext
  if (security?.privileged === true) return []
  if (asked.length > 0) return asked.map((path, i) => parseAbsolute(`config.linux.security_context.${name}[${i}]`, path))
  return podMappings(input.pod.config) === undefined ? defaults : []
}
