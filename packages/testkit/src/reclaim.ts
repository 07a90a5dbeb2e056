// Takes from the machine what its owner can no longer undo: in order, only what is provably its own, and says what it was.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Belonging, type Estate, ownerVariable, takeEstates } from './belongings.ts'
import { readText } from './may-be-gone.ts'
import { mayLive } from './owner.ts'
import { run } from './program.ts'
import { cgroupsOf, mountsBelow, removeCgroups, removeLinks, removeRules, unmount } from './reclaim-kernel.ts'
import { findProcesses } from './reclaim-processes.ts'

export interface ReclaimOptions {
  /** A living process whose belongings are taken, too. */
  readonly owner?: string
  /** Programs are not given time to end by themselves any more. */
  readonly hurry?: AbortSignal
}

export interface Reclaimed {
  /** One line, or several; empty when there was nothing. */
  readonly words: string
  /** What would not go, one line each. The next call tries again. */
  readonly left: readonly string[]
}

// A daemon whose client stands still waits longer for it than its orderly end is worth.
const graceMs = 3_000

export async function reclaim({ owner, hurry = never }: ReclaimOptions = {}): Promise<Reclaimed> {
  const counts = new Map<string, number>()
  const left: string[] = []
  // What an estate's processes had started comes to light with them: a runner's test files are owners themselves.
  for (let round = 0; round < 3; round++) {
    const estates = takeEstates(round === 0 ? owner : undefined)
    if (estates.length === 0) break
    for (const estate of estates) {
      const problems = await undo(estate, { hurry, count: (what, n) => counts.set(what, (counts.get(what) ?? 0) + n) })
      if (problems.length === 0) estate.close()
      left.push(...problems)
    }
  }
  const taken = [...counts].filter(([, n]) => n > 0).map(([what, n]) => `${n} ${what}`)
  const lines = taken.length === 0 ? [] : [`taken from the machine: ${taken.join(', ')}`]
  return { words: [...lines, ...left.map((what) => `would not go: ${what}`)].join('\n'), left }
}

let reclaimed: Promise<void> | undefined

/** Before the first thing is made: what dead processes left. Says what it was on standard error. */
export function reclaimOnce(): Promise<void> {
  reclaimed ??= reclaim().then(({ words }) => void (words === '' || process.stderr.write(`of a run that was killed: ${words}\n`)))
  return reclaimed
}

const never = new AbortController().signal

interface Undoing {
  readonly hurry: AbortSignal
  readonly count: (what: string, n: number) => void
}

async function undo({ owner, things }: Estate, { hurry, count }: Undoing): Promise<string[]> {
  const of = <K extends Belonging['kind']>(kind: K) =>
    things.filter((thing): thing is Extract<Belonging, { kind: K }> => thing.kind === kind)
  const directories = of('directory').map(({ path }) => path)
  const cgroups = of('cgroup').map(({ path }) => path)
  const ids = new Set(directories.flatMap(idsIn))
  const find = () =>
    findProcesses({ marker: `${ownerVariable}=${owner}`, directories, ids, cgroups: cgroupsOf({ ids, paths: cgroups }) })

  count('processes', await endPrograms(of('process'), hurry))
  const processes = await killAll(find)
  count('processes', processes.killed)
  const mounts = await unmount(() => mountsBelow(directories, ids))
  count('mounts', mounts.gone)
  count('firewall rules', await removeRules({ networks: of('network'), ids }))
  const groups = await removeCgroups(() => cgroupsOf({ ids, paths: cgroups }))
  count('cgroups', groups.gone)
  for (const { name } of of('netns')) count('network namespaces', await succeeded(['ip', 'netns', 'delete', name]))
  const links = await removeLinks(of('link').map(({ name }) => name))
  count('bridges', links.gone)
  const problems = [...processes.left, ...mounts.left, ...groups.left, ...links.left]
  // Never below a mount that stayed: it may be somebody's.
  if (mounts.left.length > 0) return problems
  const paths = [...directories, ...of('file').map(({ path }) => path)].filter((path) => existsSync(path))
  for (const path of paths) await run(['rm', '-rf', '--one-file-system', path], 300_000)
  count('directories and files', paths.filter((path) => !existsSync(path)).length)
  return [...problems, ...paths.filter((path) => existsSync(path))]
}

/** SIGTERM first: a daemon ends what it is about. */
async function endPrograms(programs: readonly { readonly owner: string }[], hurry: AbortSignal): Promise<number> {
  const living = programs.filter(({ owner }) => mayLive(owner))
  const deadline = performance.now() + graceMs
  for (const { owner } of living) kill(owner, 'SIGTERM')
  while (living.some(({ owner }) => mayLive(owner)) && performance.now() < deadline && !hurry.aborted) await sleep(50)
  for (const { owner } of living) if (mayLive(owner)) kill(owner, 'SIGKILL')
  return living.length
}

async function killAll(find: () => ReadonlyMap<string, string>): Promise<{ killed: number; left: string[] }> {
  const killed = new Set<string>()
  for (let round = 0; round < 100; round++) {
    const found = find()
    if (found.size === 0) return { killed: killed.size, left: [] }
    for (const owner of found.keys()) {
      killed.add(owner)
      kill(owner, 'SIGKILL')
    }
    await sleep(round < 10 ? 20 : 100)
  }
  return { killed: killed.size, left: [...find()].map(([owner, command]) => `process ${owner.split('.')[0]} ${command}`) }
}

function kill(owner: string, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (mayLive(owner)) process.kill(Number(owner.split('.')[0]), signal)
  } catch {
    // Gone this moment.
  }
}

/** Ids of pods and containers: in the names of files two levels deep, and in what a daemon logged. */
function idsIn(directory: string): string[] {
  return names(directory).flatMap((name) => {
    const path = join(directory, name)
    const text = name.endsWith('.log') ? readText(path) : ''
    const below = names(path).flatMap((inner) => [inner, ...names(join(path, inner))])
    return [name, text, ...below].flatMap((each) => each.match(/(?<!sha256[:/])\b[0-9a-f]{64}\b/g) ?? [])
  })
}

function names(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

const succeeded = async (argv: readonly [string, ...string[]]): Promise<number> => ((await run(argv)).exitCode === 0 ? 1 : 0)
