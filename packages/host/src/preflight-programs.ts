import { existsSync, statSync } from 'node:fs'
import { explain } from '@coracle/base/errors'
import type { Processes } from './host.ts'
import type { Finding } from './preflight.ts'

export interface ProgramFloor {
  /** The first good release of each line, ascending. A line before the first is bad, one after the last is good. */
  readonly versions: readonly string[]
  readonly reason: string
}

interface Runner {
  readonly processes: Processes
  readonly signal: AbortSignal
  readonly floor: ProgramFloor | undefined
}

export interface ProgramCheck extends Runner {
  readonly name: string
  readonly path: string
}

const versionMs = 5000

export async function checkProgram({ processes, signal, name, path, floor }: ProgramCheck): Promise<Finding> {
  const check = `${name} program`
  if (!existsSync(path))
    return { check, state: 'missing', detail: `${path} does not exist`, remedy: `install ${name} or set its path` }
  const loose = looseOwnership(statSync(path))
  if (loose !== undefined)
    return {
      check,
      state: 'warning',
      detail: `${path} ${loose}: who may change it is root on this node`,
      remedy: `chown root ${path} && chmod go-w ${path}`,
    }
  try {
    const text = await firstLine(processes, [path, '--version'], signal)
    return judge({ check, path, text, floor, name })
  } catch (err) {
    return { check, state: 'missing', detail: `${path} does not run: ${explain(err)}`, remedy: `reinstall ${name}` }
  }
}

/** What is wrong with the owner or mode of a program that runs as root; undefined: nothing. */
export function looseOwnership({ uid, mode }: { readonly uid: number; readonly mode: number }): string | undefined {
  if (uid !== 0) return `is owned by uid ${uid}, not by root`
  return (mode & 0o022) === 0 ? undefined : 'may be written by others than root'
}

const pluginsInUse = ['bridge', 'host-local', 'loopback', 'portmap'] as const

export async function checkCniPlugins(
  options: Runner & { readonly directories: readonly string[] },
): Promise<readonly Finding[]> {
  const check = 'CNI plugins'
  const find = (name: string) => options.directories.map((directory) => `${directory}/${name}`).find((path) => existsSync(path))
  const absent = pluginsInUse.filter((name) => find(name) === undefined)
  const remedy = `install the CNI plugins into one of ${options.directories.join(', ')}`
  if (absent.length === pluginsInUse.length) return [{ check, state: 'missing', detail: 'none of them was found', remedy }]
  const findings: Finding[] = []
  if (absent.length > 0) findings.push({ check, state: 'warning', detail: `not found: ${absent.join(', ')}`, remedy })
  const path = pluginsInUse.map(find).find((found) => found !== undefined)
  if (path === undefined) return findings
  try {
    const text = await firstLine(options.processes, [path, '--version'], options.signal)
    return [...findings, judge({ check, path, text, floor: options.floor, name: 'the CNI plugins' })]
  } catch (err) {
    return [...findings, { check, state: 'warning', detail: `${path} does not run: ${explain(err)}`, remedy }]
  }
}

async function firstLine(processes: Processes, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<string> {
  const result = await processes.run({ argv, timeoutMs: versionMs, signal, maxOutputBytes: 4096 })
  // CNI plugins answer on stderr.
  return `${result.stdout}${result.stderr}`.trim().split('\n')[0] ?? ''
}

interface Judged {
  readonly check: string
  readonly path: string
  readonly text: string
  readonly name: string
  readonly floor: ProgramFloor | undefined
}

function judge({ check, path, text, name, floor }: Judged): Finding {
  const version = /\bv?(\d+\.\d+(?:\.\d+)?)/.exec(text)?.[1]
  if (version === undefined)
    return {
      check,
      state: 'warning',
      detail: `${path} does not tell its version (${text.slice(0, 80)})`,
      remedy: `see that ${name} is current`,
    }
  if (floor === undefined || meetsFloor(version, floor.versions)) return { check, state: 'ok', detail: `${path} ${version}` }
  const wanted = floor.versions.join(', ')
  return {
    check,
    state: 'warning',
    detail: `${path} ${version} is older than ${wanted}: ${floor.reason}, unless the distribution has patched it`,
    remedy: `update ${name} to ${wanted} or later`,
  }
}

/** Whether a version is at or after the floor of its own `major.minor` line, or later than all lines. */
export function meetsFloor(version: string, floors: readonly string[]): boolean {
  const parts = numbers(version)
  const line = floors.map(numbers).find((floor) => floor[0] === parts[0] && floor[1] === parts[1])
  return compare(parts, line ?? numbers(floors.at(-1) ?? '0')) >= 0
}

const numbers = (version: string): readonly number[] => version.split('.').map(Number)

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
