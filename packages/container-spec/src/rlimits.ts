// setrlimit(2) limits of the container's processes: set always, so that none is inherited by chance from the daemon's unit (hazards H-43).
import type { Rlimit } from '@coracle/oci-spec/runtime-spec'
import type { HostFacts } from './spec-input.ts'

// 1024 is what select(2) and old programs can count to; those that want more raise their soft limit themselves.
const softFiles = 1024
const hardFiles = 1_048_576

/** `RLIMIT_NOFILE`, within what this process has itself. */
export function rlimits(nofile: HostFacts['nofile']): readonly Rlimit[] {
  const hard = Math.min(hardFiles, nofile.hard)
  return [{ type: 'RLIMIT_NOFILE', soft: Math.min(softFiles, hard), hard }]
}
