// Paths that may hang for ever are looked at by short-lived programs, which can be killed and left behind.
import { existsSync } from 'node:fs'
import { CodedError, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { DiskUsage, FileType, PathInfo, RunResult } from './host.ts'
import { run, uncollected } from './spawn.ts'

// More programs than this that are stuck in the kernel: no further ones are sent after them.
const maxStuck = 64
const usageMs = 600_000

interface ToolRequest {
  readonly name: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly paths: readonly string[]
}

async function tool({ name, args, timeoutMs, signal, paths }: ToolRequest): Promise<RunResult> {
  refuseWhileStuck(paths)
  const program = [`/usr/bin/${name}`, `/bin/${name}`].find((path) => existsSync(path)) ?? `/usr/bin/${name}`
  try {
    const argv = [program, ...args, '--', ...paths] as const
    return await run({ argv, env: { LC_ALL: 'C' }, timeoutMs, signal, maxOutputBytes: 16 * 1024 * 1024 })
  } catch (err) {
    if (err instanceof CodedError && err.code === 'deadline_exceeded') throw noAnswer(paths, timeoutMs, err)
    throw err
  }
}

/** Throws `unavailable` when no further program is to be sent after those that hang. */
export function refuseWhileStuck(paths: readonly string[]): void {
  if (uncollected() < maxStuck) return
  const reason = `${maxStuck} earlier attempts at hung file systems are still stuck`
  throw new CodedError('unavailable', `look at ${named(paths)}: ${reason}`)
}

export const noAnswer = (paths: readonly string[], timeoutMs: number, cause?: unknown): CodedError =>
  new CodedError('deadline_exceeded', `look at ${named(paths)}: no answer within ${timeoutMs} ms`, { cause })

const named = (paths: readonly string[]): string =>
  paths.slice(0, 5).map(quote).join(', ') + (paths.length > 5 ? ` and ${paths.length - 5} more` : '')

export async function probe(paths: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<readonly PathInfo[]> {
  if (paths.length === 0) return []
  // %f: mode in hex, %t %T: device numbers in hex, %n: the name as given.
  const args = ['-L', '--printf=%f %t %T %n\\0']
  const result = await tool({ name: 'stat', args, timeoutMs, signal, paths })
  const found = parseStats(result.stdout.toString())
  refuseOddErrors(result.stderr.toString())
  return paths.map((path) => found.get(path) ?? { path, type: undefined, major: 0, minor: 0 })
}

function refuseOddErrors(text: string): void {
  const odd = text.split('\n').find((line) => line !== '' && !/: (No such file or directory|Not a directory)$/.test(line))
  if (odd !== undefined) throw precondition(odd.replace(/^stat: /, ''))
}

/** Records of `mode major minor name NUL`. */
export function parseStats(text: string): ReadonlyMap<string, PathInfo> {
  const found = new Map<string, PathInfo>()
  for (const record of text.split('\0')) {
    const match = /^([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) (.*)$/s.exec(record)
    if (match === null) continue
    const [mode = 0, major = 0, minor = 0] = match.slice(1, 4).map((digits) => Number.parseInt(digits, 16))
    const path = match[4] ?? ''
    const type = fileTypes.get(mode & 0o170000)
    found.set(path, { path, type, ...(type === 'character' || type === 'block' ? { major, minor } : { major: 0, minor: 0 }) })
  }
  return found
}

// S_IFMT, inode(7).
export const fileTypes: ReadonlyMap<number, FileType> = new Map([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
  [0o020000, 'character'],
  [0o060000, 'block'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
])

export async function makeDirectory(path: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const result = await tool({ name: 'mkdir', args: ['-p', '-m', '0755'], timeoutMs, signal, paths: [path] })
  if (result.exitCode !== 0) throw precondition(`make directory ${quote(path)}: ${lastLine(result)}`)
}

const lastLine = (result: RunResult): string =>
  result.stderr.toString().trim().split('\n').at(-1) || `exit code ${result.exitCode}`

export async function diskUsage(path: string, signal: AbortSignal): Promise<DiskUsage> {
  const usage = (await diskUsages([path], signal)).get(path)
  if (usage === undefined) throw precondition(`measure ${quote(path)}: it cannot be read`)
  return usage
}

export async function diskUsages(paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, DiskUsage>> {
  if (paths.length === 0) return new Map()
  const measure = async (what: string): Promise<ReadonlyMap<string, bigint>> => {
    // Files that went away meanwhile are complained about, the sums are printed nevertheless.
    const { stdout } = await tool({ name: 'du', args: ['-sx0', what], timeoutMs: usageMs, signal, paths })
    return parseSums(stdout.toString())
  }
  const [bytes, inodes] = await Promise.all([measure('--block-size=1'), measure('--inodes')])
  return new Map([...bytes].map(([path, usedBytes]) => [path, { usedBytes, inodes: inodes.get(path) ?? 0n }]))
}

/** Records of `number TAB path NUL`, as du(1) prints them. */
function parseSums(text: string): ReadonlyMap<string, bigint> {
  const records = text.split('\0').map((record) => /^(\d+)\t(.*)$/s.exec(record))
  return new Map(records.flatMap((match) => (match === null ? [] : [[match[2] ?? '', BigInt(match[1] ?? 0)] as const])))
}
