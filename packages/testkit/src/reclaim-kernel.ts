// Mounts, firewall rules and cgroups of a dead owner, taken away from outside.
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './program.ts'

export interface Took {
  readonly gone: number
  /** What would not go, one line each. */
  readonly left: string[]
}

/** Mount points at or below a directory, or with an id in their path; those mounted last come first. */
export function mountsBelow(directories: readonly string[], ids: ReadonlySet<string>): string[] {
  return mountinfo()
    .map((fields) => plainPath(fields[4] ?? ''))
    .filter((path) => directories.some((at) => path === at || path.startsWith(`${at}/`)) || mentions(path, ids))
    .reverse()
}

/** Detached when it stays busy. */
export async function unmount(find: () => string[]): Promise<Took> {
  let gone = 0
  for (let round = 0; round < 5; round++) {
    const targets = find()
    if (targets.length === 0) break
    for (const target of targets) {
      if ((await run(['umount', target])).exitCode !== 0) await run(['umount', '--lazy', target])
    }
    gone += targets.length - find().length
  }
  return { gone, left: find().map((path) => `mount ${path}`) }
}

export interface RuleOwner {
  readonly networks: readonly { readonly name: string; readonly subnetPrefix: string }[]
  readonly ids: ReadonlySet<string>
}

/** Rules of CNI plugins in the nat and filter tables, of both IP versions, and the chains that were of one pod. Resolves to how many rules. */
export async function removeRules(owner: RuleOwner): Promise<number> {
  if (owner.networks.length === 0 && owner.ids.size === 0) return 0
  let removed = 0
  for (const family of ['iptables', 'ip6tables']) {
    for (const table of ['nat', 'filter']) removed += await removeTableRules(`${family}`, table, owner)
  }
  return removed
}

async function removeTableRules(family: string, table: string, { networks, ids }: RuleOwner): Promise<number> {
  const { stdout } = await run([`${family}-save`, '-t', table])
  const ours = (line: string) =>
    mentions(line, ids) ||
    networks.some(({ name, subnetPrefix }) => line.includes(subnetPrefix) || line.includes(`\\"${name}\\"`))
  const lines = stdout.split('\n').filter((line) => line.startsWith('-A '))
  // Chains of one pod are named by a hash and are ours with all that is in them; those that all pods share stay.
  const ofPod = /\bCNI-(?:DN-|SN-)?[0-9a-f]{20,24}\b/
  const chains = new Set(lines.filter(ours).flatMap((line) => ofPod.exec(line)?.[0] ?? []))
  const inChain = (line: string) => chains.has(line.split(' ')[1] ?? '')
  const rules = lines.filter((line) => ours(line) && !inChain(line))
  if (rules.length + chains.size === 0) return 0
  const commands = [
    ...rules.map((line) => line.replace(/^-A/, '-D')),
    ...[...chains].map((chain) => `-F ${chain}`),
    ...[...chains].map((chain) => `-X ${chain}`),
  ]
  const input = `*${table}\n${commands.join('\n')}\nCOMMIT\n`
  const { exitCode } = await run(['sh', '-c', `printf %s "$1" | ${family}-restore --noflush --wait 10`, 'sh', input])
  return exitCode === 0 ? rules.length + lines.filter(inChain).length : 0
}

/** Bridges without ports. Those of pods go with their network namespaces, which takes the kernel a moment. */
export async function removeLinks(names: readonly string[]): Promise<Took> {
  const links = names.filter((name) => existsSync(`/sys/class/net/${name}`))
  for (const name of links) {
    for (let round = 0; round < 50 && readdirSync(`/sys/class/net/${name}/brif`).length > 0; round++) await sleep(100)
    if (readdirSync(`/sys/class/net/${name}/brif`).length === 0) await run(['ip', 'link', 'delete', name])
  }
  const left = links.filter((name) => existsSync(`/sys/class/net/${name}`))
  return { gone: links.length - left.length, left: left.map((name) => `network link ${name}`) }
}

/** Absolute paths, in every hierarchy: those with an id in their name, those at `paths`, and all below. Deepest first. */
export function cgroupsOf({ ids, paths }: { readonly ids: ReadonlySet<string>; readonly paths: readonly string[] }): string[] {
  if (ids.size === 0 && paths.length === 0) return []
  const roots = mountinfo()
    .filter((fields) => fields[fields.indexOf('-') + 1]?.startsWith('cgroup'))
    .map((fields) => fields[4] ?? '')
  return roots
    .flatMap((root) => directories(root).filter((path) => mentions(path, ids) || isBelow(path.slice(root.length), paths)))
    .sort((a, b) => b.length - a.length)
}

const isBelow = (path: string, parents: readonly string[]): boolean =>
  parents.some((parent) => path === parent || path.startsWith(`${parent}/`))

/** Only an empty cgroup can be removed, and its last process may still be on its way out. */
export async function removeCgroups(find: () => string[]): Promise<Took> {
  const before = find().length
  for (let round = 0; round < 50; round++) {
    const paths = find()
    if (paths.length === 0) return { gone: before, left: [] }
    for (const path of paths) removeCgroup(path)
    await sleep(50)
  }
  const left = find()
  return { gone: before - left.length, left: left.map((path) => `cgroup ${path}`) }
}

function removeCgroup(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // Still in use, or gone with its parent: the next round.
  }
}

const mountinfo = (): string[][] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '))

/** proc(5): space, tab, line feed and backslash are octal. */
const plainPath = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

const mentions = (text: string, ids: ReadonlySet<string>): boolean =>
  ids.size > 0 && (text.match(/[0-9a-f]{64}/g) ?? []).some((id) => ids.has(id))

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => [join(path, entry.name), ...directories(join(path, entry.name))])
  } catch {
    return []
  }
}
