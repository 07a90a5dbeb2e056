// Takes from the machine what a world left on it: after a failed test, and as a power cycle would do.
import { existsSync, rmdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mountsBelow, removeRules, unmount } from './reclaim-kernel.ts'
import type { World } from './world.ts'

/** What to ask for leaks: a node. */
export interface Leaking {
  readonly world: World
  leaks(): Promise<string[]>
}

/** Processes, mounts, firewall rules and cgroups, in this order. Best effort: it never rejects for one that will not go. */
export async function sweep(node: Leaking): Promise<void> {
  await sweepProcesses(node)
  await unmount(() => mountsBelow([node.world.state, node.world.root], new Set()))
  await removeRules({ networks: [{ ...node.world, name: node.world.networkName }], ids: new Set() })
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
