// Takes from the machine what a world left on it: after a failed test, and as a power cycle would do.
import { existsSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './program.ts'
import type { World } from './world.ts'

/** What to ask for leaks: a node. */
export interface Leaking {
  readonly world: World
  leaks(): Promise<string[]>
}

/** Processes, mounts, firewall rules and cgroups, in this order. Best effort: it never rejects for one that will not go. */
export async function sweep(node: Leaking): Promise<void> {
  await sweepProcesses(node)
  await sweepMounts(node.world)
  await sweepRules(node.world)
  await sweepCgroups(node)
}

async function sweepProcesses(node: Leaking): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const pids = (await details(node, 'process')).map((line) => Number(line.split(' ')[0]))
    if (pids.length === 0) return
    for (const pid of pids) kill(pid)
    await sleep(100)
  }
}

async function sweepMounts({ state, root }: World): Promise<void> {
  const { stdout } = await run(['findmnt', '--raw', '--noheadings', '--output', 'TARGET'])
  const targets = stdout.split('\n').filter((path) => path.startsWith(`${state}/`) || path.startsWith(`${root}/`))
  for (const target of targets.reverse()) await run(['umount', '--lazy', target])
}

async function sweepRules({ networkName, subnetPrefix, directory }: World): Promise<void> {
  const { stdout } = await run(['iptables-save', '-t', 'nat'])
  const ours = (line: string) => line.includes(subnetPrefix) || line.includes(`\\"${networkName}\\"`)
  const rules = stdout.split('\n').filter((line) => line.startsWith('-A ') && ours(line))
  if (rules.length === 0) return
  // Chains of one pod are named by a hash; those that all pods share stay.
  const chains = new Set(rules.map((line) => line.split(' ')[1] ?? '').filter((chain) => /^CNI-[0-9a-f]{24}$/.test(chain)))
  const commands = [...rules.map((line) => line.replace(/^-A/, '-D')), ...[...chains].map((chain) => `-X ${chain}`)]
  const file = join(directory, 'sweep.rules')
  writeFileSync(file, ['*nat', ...commands, 'COMMIT', ''].join('\n'))
  await run(['iptables-restore', '--noflush', file])
}

/** Deepest first: only an empty cgroup can be removed, and its last process may still be on its way out. */
async function sweepCgroups(node: Leaking): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const paths = (await details(node, 'cgroup')).sort((a, b) => b.length - a.length)
    if (paths.length === 0) return
    for (const path of paths) removeCgroup(path)
    await sleep(100)
  }
}

function removeCgroup(path: string): void {
  try {
    if (existsSync(path)) rmdirSync(path)
  } catch {
    // Still in use: the next round.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}

async function details(node: Leaking, kind: 'process' | 'cgroup'): Promise<string[]> {
  const prefix = `${kind} left: `
  return (await node.leaks()).filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length))
}
