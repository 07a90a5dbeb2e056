// A daemon under test in a world of its own, and the promise that nothing of it is left at the end.
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { CriClient } from '@coracle/cri-api'
import { startProduct } from './running-node.ts'
import { makeWorld, type World, type WorldOptions } from './world.ts'

export interface TestNode extends AsyncDisposable {
  /** Which product answers: the tests' table of known differences is keyed by it. */
  readonly product: 'coracle' | 'containerd'
  readonly world: World
  readonly client: CriClient
  /** Ids of pods and containers that the leak oracle shall look for, besides those that the daemon's log mentions. */
  readonly ids: Set<string>
  /** Pid of the daemon. */
  pid(): number
  /** SIGKILL to the daemon alone; resolves when it is gone. */
  kill9(): Promise<void>
  /** SIGTERM to the daemon alone; resolves when it is gone. */
  stop(): Promise<void>
  /** Starts the daemon again on the same directories and waits until it serves; ends a running one first. */
  restart(extraFlags?: readonly string[]): Promise<void>
  /** Resolves when the daemon has ended by itself. */
  ended(): Promise<void>
  /** All that the daemon has written to stdout and stderr. */
  log(): string
  /** What this node has left on the machine so far, in words. Empty once all pods and containers are removed. */
  leaks(): Promise<string[]>
  /** Removes every pod and container. */
  clear(): Promise<void>
}

export interface NodeOptions extends WorldOptions {
  /** Default: the daemon's own. */
  readonly runtime?: string
  /** Content of the configuration file (TOML). */
  readonly config?: string
  readonly extraFlags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** How to start one product in a world. */
export interface Product {
  readonly name: TestNode['product']
  argv(world: World): readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
}

const repository = fileURLToPath(new URL('../../../', import.meta.url))

/** Starts `bin/coracled` and waits until it serves. Disposing of it removes all pods and fails when anything is left on the machine. */
export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const world = await makeWorld(options)
  const configPath = `${world.directory}/coracle.toml`
  await writeFile(configPath, options.config ?? '')
  return startProduct(world, {
    name: 'coracle',
    env: options.env ?? {},
    argv: ({ root, state, socket, cniConfigDir, cniPluginDir }) => [
      `${repository}bin/coracled`,
      ...['--config', configPath, '--root', root, '--state', state, '--socket', socket],
      ...['--cni-config-dir', cniConfigDir, '--cni-plugin-dir', cniPluginDir],
      ...(options.runtime ? ['--default-runtime', options.runtime] : []),
      ...(options.extraFlags ?? []),
    ],
  })
}
