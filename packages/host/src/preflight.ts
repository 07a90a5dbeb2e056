// What must be right on a machine before pods can run on it: the list behind `doctor`.
import type { Cgroups, Processes } from './host.ts'
import { checkGzip } from './isal.ts'
import { checkCapabilities, checkCgroups, checkKernel, checkNetworkSysctls } from './preflight-kernel.ts'
import { checkCniPlugins, checkProgram, type ProgramFloor } from './preflight-programs.ts'
import { checkDirectory } from './preflight-storage.ts'

export interface Finding {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'missing'
  readonly detail: string
  /** What the administrator can do. */
  readonly remedy?: string
}

export interface PreflightOptions {
  readonly processes: Processes
  readonly cgroups: Cgroups
  /** OCI runtimes by name: absolute paths. One that is absent is only a warning as long as another is there. */
  readonly runtimes: Readonly<Record<string, string>>
  readonly conmon: string
  /** Directories of CNI plugins, searched in order. */
  readonly cniDirectories: readonly string[]
  /** Where data will be kept. Need not exist yet. */
  readonly directories: readonly string[]
  readonly signal: AbortSignal
}

// Releases with known holes fixed; several lines of development are listed by their own floor.
const floors: Readonly<Record<string, ProgramFloor>> = {
  runc: { versions: ['1.3.6', '1.4.3', '1.5.1'], reason: 'CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 and CVE-2026-41579' },
  crun: { versions: ['1.30.1'], reason: 'links at /dev in images (CVE-2026-47766)' },
  conmon: { versions: ['2.2.1'], reason: 'busy loops and signals to reused pids' },
  cni: { versions: ['1.9.0'], reason: 'CVE-2025-67499' },
}

/** Runs all checks. Never rejects because of what it finds. */
export async function preflight(options: PreflightOptions): Promise<readonly Finding[]> {
  const { processes, signal } = options
  const runtimes = await Promise.all(
    Object.entries(options.runtimes).map(([name, path]) => checkProgram({ processes, signal, name, path, floor: floors[name] })),
  )
  return [
    ...checkKernel(),
    ...checkCgroups(options.cgroups),
    ...checkCapabilities(),
    ...tolerateAbsent(runtimes),
    await checkProgram({ processes, signal, name: 'conmon', path: options.conmon, floor: floors['conmon'] }),
    ...(await checkCniPlugins({ processes, signal, directories: options.cniDirectories, floor: floors['cni'] })),
    checkGzip(),
    ...options.directories.flatMap(checkDirectory),
    ...checkNetworkSysctls(),
  ]
}

function tolerateAbsent(runtimes: readonly Finding[]): readonly Finding[] {
  if (runtimes.every((finding) => finding.state === 'missing')) return runtimes
  return runtimes.map((finding) => (finding.state === 'missing' ? { ...finding, state: 'warning' } : finding))
}
