// The part of a node under test that is the same for every product.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { type CriClient, connect } from '@coracle/cri-api'
import { eventually } from './eventually.ts'
import { diff, type Scope, type Snapshot, takeSnapshot } from './leak-oracle.ts'
import type { Product, TestNode } from './node.ts'
import { type Program, startProgram } from './program.ts'
import { sweep } from './sweep.ts'
import type { World } from './world.ts'

/** Starts the product in the world. The world goes with the node. */
export async function startProduct(world: World, product: Product): Promise<TestNode> {
  const scope: Scope = {
    directories: [world.directory],
    watchedDirectories: [world.root, world.state],
    ...{ ipamDir: world.ipamDir, bridge: world.bridge, networkName: world.networkName, subnetPrefix: world.subnetPrefix },
  }
  const before = await takeSnapshot(scope, new Set())
  const node = new RunningNode({ world, product, scope, before })
  try {
    await node.restart()
  } catch (err) {
    await world.remove()
    throw err
  }
  return node
}

interface NodeParts {
  readonly world: World
  readonly product: Product
  readonly scope: Scope
  readonly before: Snapshot
}

class RunningNode implements TestNode {
  readonly client: CriClient
  readonly ids = new Set<string>()
  readonly #parts: NodeParts
  #daemon: Program | undefined

  constructor(parts: NodeParts) {
    this.#parts = parts
    this.client = connect(parts.world.socket, { timeoutMs: 120_000 })
  }

  get product() {
    return this.#parts.product.name
  }

  get world() {
    return this.#parts.world
  }

  pid(): number {
    if (!this.#daemon?.running()) throw new Error(`the daemon does not run\n${this.#tail()}`)
    return this.#daemon.pid
  }

  async kill9(): Promise<void> {
    await this.#daemon?.kill9()
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop()
  }

  async ended(): Promise<void> {
    await this.#daemon?.exited
  }

  async restart(extraFlags: readonly string[] = []): Promise<void> {
    await this.stop()
    const { world, product } = this.#parts
    const [program, ...flags] = product.argv(world)
    const daemon = await startProgram({
      argv: [program, ...flags, ...extraFlags],
      logPath: world.daemonLog,
      ...(product.env ? { env: product.env } : {}),
    })
    this.#daemon = daemon
    try {
      const ended = daemon.exited.then(({ exitCode }) => Promise.reject(new Error(`it ended with exit code ${exitCode}`)))
      await Promise.race([eventually('the daemon serves', () => this.#serves(), { timeoutMs: 30_000 }), ended])
    } catch (err) {
      await daemon.kill9()
      throw new Error(`${product.name} did not start:\n${this.#tail()}`, { cause: err })
    }
  }

  log(): string {
    try {
      return readFileSync(this.#parts.world.daemonLog, 'utf8')
    } catch {
      return ''
    }
  }

  async leaks(): Promise<string[]> {
    const { scope, before } = this.#parts
    for (const id of this.log().match(/(?<!sha256[:/])\b[0-9a-f]{64}\b/g) ?? []) this.ids.add(id)
    const daemon = this.#daemon?.running() ? this.#daemon.pid : undefined
    return diff(before, await takeSnapshot({ ...scope, exceptTreeOf: daemon }, this.ids))
  }

  async clear(): Promise<void> {
    const { runtime } = this.client
    const { items } = await runtime.listPodSandbox({})
    for (const { id } of items) {
      await runtime.stopPodSandbox({ podSandboxId: id }).catch(ignoreNotFound)
      await runtime.removePodSandbox({ podSandboxId: id }).catch(ignoreNotFound)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack()
    stack.defer(() => this.#parts.world.remove())
    // After a failure only: a world that is clean has nothing to sweep.
    stack.defer(() => sweep(this))
    stack.defer(() => this.client.close())
    stack.defer(() => this.stop())
    if (!this.#daemon?.running()) await this.restart()
    await this.clear()
    // Twice: what the daemon still holds while it runs, and what outlives it.
    await this.#assertClean()
    await this.stop()
    await this.#assertClean()
  }

  /** What ends asynchronously (a monitor's last moments) may take a few seconds. */
  async #assertClean(): Promise<void> {
    const deadline = performance.now() + 5_000
    let leaks = await this.leaks()
    while (leaks.length > 0 && performance.now() < deadline) {
      await sleep(200)
      leaks = await this.leaks()
    }
    if (leaks.length === 0) return
    throw new Error(`${this.product} left on the machine:\n  ${leaks.join('\n  ')}\n${this.#tail()}`)
  }

  async #serves(): Promise<boolean> {
    try {
      await this.client.runtime.version({}, { timeoutMs: 5_000 })
      return true
    } catch (err) {
      if (codeOf(err) === 'unavailable') return false
      throw err
    }
  }

  #tail(): string {
    const lines = this.log().split('\n').slice(-40)
    return `last lines of its log:\n${lines.map((line) => line.slice(0, 400)).join('\n')}`
  }
}

function ignoreNotFound(err: unknown): void {
  if (codeOf(err) !== 'not_found') throw err
}
