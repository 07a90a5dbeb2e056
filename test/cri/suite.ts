// What every CRI test stands on: a node with images, and pods and containers that go away with their scope.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe } from 'node:test'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  ContainerConfigSchema,
  ContainerStatus,
  CriClient,
  PodSandboxConfigSchema,
  PodSandboxStatus,
} from '@coracle/cri-api'
import { ContainerState, NamespaceMode } from '@coracle/cri-api'
import { pushTestImages, type TestImages } from '@coracle/testkit/busybox-images'
import { startContainerdNode } from '@coracle/testkit/containerd-node'
import { eventually } from '@coracle/testkit/eventually'
import { externalNode } from '@coracle/testkit/external-node'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type NodeOptions, startNode, type TestNode } from '@coracle/testkit/node'
import { type Registry, registryAt, startRegistry } from '@coracle/testkit/registry'
import { product } from './differences.ts'

/** Plain objects, not messages: they can be spread. */
type Plain = { readonly $typeName?: never }
export type PodInit = Extract<MessageInitShape<typeof PodSandboxConfigSchema>, Plain>
export type ContainerInit = Extract<MessageInitShape<typeof ContainerConfigSchema>, Plain>

/** A `describe` with a node of its own. The node is asserted to leave nothing behind. */
export function criSuite(name: string, define: (cri: Cri) => void, options: NodeOptions = {}): void {
  describe(name, needsRoot(), () => {
    const cri = new Cri()
    before(() => cri.open(options))
    after(() => cri[Symbol.asyncDispose]())
    afterEach((test) => {
      if ('error' in test && test.error != null)
        console.error(`--- log of the daemon, at the end of: ${test.name}\n${cri.newLog()}`)
    })
    define(cri)
  })
}

/** Starts the runtime under test: CRI_ENDPOINT, containerd with CRI_PRODUCT=containerd, else ours. */
export async function startNodeUnderTest(registry: Registry, options: NodeOptions = {}): Promise<TestNode> {
  const endpoint = process.env['CRI_ENDPOINT']
  const runtime = process.env['CRI_RUNTIME']
  if (endpoint) return externalNode(endpoint)
  if (product === 'containerd') return startContainerdNode(registry, options)
  return startNode(runtime ? { runtime, ...options } : options)
}

/** The registry of the whole run, else one of this file's own. */
export async function openRegistry(): Promise<{ registry: Registry; images: TestImages }> {
  const { TEST_REGISTRY: host, TEST_IMAGES: images } = process.env
  // The runner writes it, with the type it says.
  if (host && images) return { registry: registryAt(host), images: JSON.parse(images) as TestImages }
  const registry = await startRegistry()
  return { registry, images: await pushTestImages(registry) }
}

export class Cri implements AsyncDisposable {
  #node: TestNode | undefined
  #registry: Registry | undefined
  #images: TestImages | undefined
  #logSeen = 0
  #serial = 0

  async open(options: NodeOptions = {}): Promise<this> {
    const { registry, images } = await openRegistry()
    this.#registry = registry
    this.#images = images
    try {
      this.#node = await startNodeUnderTest(registry, options)
      await this.image.pullImage({ image: { image: images.busybox } })
      return this
    } catch (err) {
      await this[Symbol.asyncDispose]()
      throw err
    }
  }

  get node(): TestNode {
    if (!this.#node) throw new Error('the suite is not open')
    return this.#node
  }

  get images(): TestImages {
    if (!this.#images) throw new Error('the suite is not open')
    return this.#images
  }

  get registry(): Registry {
    if (!this.#registry) throw new Error('the suite is not open')
    return this.#registry
  }

  get runtime(): CriClient['runtime'] {
    return this.node.client.runtime
  }

  get image(): CriClient['image'] {
    return this.node.client.image
  }

  /** A name that no other thing of this node has. */
  unique(prefix: string): string {
    return `${prefix}${++this.#serial}`
  }

  /** A complete pod configuration with a log directory of its own, changed by `change`. */
  podConfig(change: PodInit = {}): PodInit & { logDirectory: string } {
    const name = this.unique('pod-')
    const logDirectory = join(this.node.world.pods, name)
    mkdirSync(logDirectory, { recursive: true })
    const metadata = { name, namespace: 'tests', uid: `uid-${name}`, attempt: 0 }
    const { $typeName: _pod, ...rest } = change
    return {
      metadata,
      labels: { suite: 'cri' },
      annotations: {},
      ...rest,
      linux: ownProcesses(change.linux),
      logDirectory: rest.logDirectory || logDirectory,
    } as PodInit & { logDirectory: string }
  }

  /** Runs a pod; it is stopped and removed at the end of the caller's scope. */
  async pod(change: PodInit = {}, runtimeHandler = ''): Promise<PodUnderTest> {
    const config = this.podConfig(change)
    const { podSandboxId } = await this.runtime.runPodSandbox({ config, runtimeHandler })
    this.node.ids.add(podSandboxId)
    return new PodUnderTest(this, podSandboxId, config)
  }

  /** What the daemon wrote since the last question. */
  newLog(): string {
    const log = this.#node?.log() ?? ''
    const fresh = log.slice(this.#logSeen)
    this.#logSeen = log.length
    const lines = fresh.split('\n').slice(-25)
    return lines.map((line) => line.slice(0, 300)).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack()
    stack.use(this.#registry)
    stack.use(this.#node)
    this.#registry = undefined
    this.#node = undefined
  }
}

/** As kubelet sends it: a PID namespace for each container. (The message's own default is one for the pod.) */
function ownProcesses(linux: object | undefined): object {
  const security: { namespaceOptions?: object } = linux && 'securityContext' in linux ? { ...(linux.securityContext ?? {}) } : {}
  return { ...linux, securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER }, ...security } }
}

export class PodUnderTest implements AsyncDisposable {
  readonly cri: Cri
  readonly id: string
  readonly config: PodInit & { logDirectory: string }

  constructor(cri: Cri, id: string, config: PodInit & { logDirectory: string }) {
    this.cri = cri
    this.id = id
    this.config = config
  }

  async status(): Promise<PodSandboxStatus> {
    const { status } = await this.cri.runtime.podSandboxStatus({ podSandboxId: this.id })
    if (!status) throw new Error('PodSandboxStatus without a status')
    return status
  }

  async ip(): Promise<string> {
    return (await this.status()).network?.ip ?? ''
  }

  stop(): Promise<unknown> {
    return this.cri.runtime.stopPodSandbox({ podSandboxId: this.id })
  }

  remove(): Promise<unknown> {
    return this.cri.runtime.removePodSandbox({ podSandboxId: this.id })
  }

  /** A complete container configuration: busybox asleep, with a log. */
  containerConfig(change: ContainerInit = {}): ContainerInit & { logPath: string } {
    const name = this.cri.unique('c')
    const { $typeName: _container, ...rest } = change
    return {
      metadata: { name, attempt: 0 },
      image: { image: this.cri.images.busybox },
      command: ['sleep', '10000'],
      logPath: `${name}.log`,
      ...rest,
      linux: ownProcesses(change.linux),
    } as ContainerInit & { logPath: string }
  }

  /** Creates a container; it goes with the pod. */
  async create(change: ContainerInit = {}): Promise<ContainerUnderTest> {
    const config = this.containerConfig(change)
    const { containerId } = await this.cri.runtime.createContainer({ podSandboxId: this.id, config, sandboxConfig: this.config })
    this.cri.node.ids.add(containerId)
    return new ContainerUnderTest(this, containerId, config)
  }

  async run(change: ContainerInit = {}): Promise<ContainerUnderTest> {
    const container = await this.create(change)
    await container.start()
    return container
  }

  /** Runs `script` in a shell to its end. */
  async shell(script: string, change: ContainerInit = {}): Promise<{ status: ContainerStatus; output: string }> {
    const container = await this.run({ ...change, command: ['sh', '-c', script] })
    const status = await container.exited()
    return { status, output: container.output() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ignore = () => undefined
    await this.stop().catch(ignore)
    await this.remove()
  }
}

export interface LogLine {
  readonly time: string
  readonly stream: string
  readonly tag: string
  readonly text: string
}

export class ContainerUnderTest {
  readonly pod: PodUnderTest
  readonly id: string
  readonly config: ContainerInit & { logPath: string }

  constructor(pod: PodUnderTest, id: string, config: ContainerInit & { logPath: string }) {
    this.pod = pod
    this.id = id
    this.config = config
  }

  get runtime(): CriClient['runtime'] {
    return this.pod.cri.runtime
  }

  get logFile(): string {
    return join(this.pod.config.logDirectory, this.config.logPath)
  }

  start(): Promise<unknown> {
    return this.runtime.startContainer({ containerId: this.id })
  }

  stop(timeoutSeconds = 0): Promise<unknown> {
    return this.runtime.stopContainer({ containerId: this.id, timeout: BigInt(timeoutSeconds) })
  }

  remove(): Promise<unknown> {
    return this.runtime.removeContainer({ containerId: this.id })
  }

  async status(): Promise<ContainerStatus> {
    const { status } = await this.runtime.containerStatus({ containerId: this.id })
    if (!status) throw new Error('ContainerStatus without a status')
    return status
  }

  /** Waits for its end. */
  exited(timeoutMs = 30_000): Promise<ContainerStatus> {
    const ended = async () => {
      const status = await this.status()
      return status.state === ContainerState.CONTAINER_EXITED && status
    }
    return eventually(`container ${this.config.metadata?.name} ends`, ended, { timeoutMs })
  }

  async exec(cmd: readonly string[], timeoutSeconds = 30): Promise<{ stdout: string; stderr: string; exitCode: number }> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync({
      containerId: this.id,
      cmd: [...cmd],
      timeout: BigInt(timeoutSeconds),
    })
    return { stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString(), exitCode }
  }

  /** stdout of a shell script that must succeed. */
  async sh(script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await this.exec(['sh', '-c', script])
    if (exitCode !== 0) throw new Error(`${script}: exit code ${exitCode}: ${stderr}`)
    return stdout.trimEnd()
  }

  /** The log in the CRI's format. Throws on a line of any other. */
  log(): LogLine[] {
    return parseLog(readFileSync(this.logFile, 'utf8'))
  }

  /** The container's stdout as it wrote it. */
  output(stream = 'stdout'): string {
    return joinLog(this.log().filter((line) => line.stream === stream))
  }

  logContains(text: string): Promise<true> {
    return eventually(`the log has ${JSON.stringify(text)}`, () => this.log().some((line) => line.text.includes(text)))
  }
}

/** `TIME STREAM P|F TEXT`, TIME as RFC 3339 with nanoseconds. */
export function parseLog(text: string): LogLine[] {
  const lines = text.split('\n')
  if (lines.pop() !== '') throw new Error('the log does not end with a line feed')
  return lines.map((line) => {
    const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF]) (.*)$/s.exec(line)
    if (!match) throw new Error(`not a CRI log line: ${line.slice(0, 200)}`)
    const [, time = '', stream = '', tag = '', content = ''] = match
    return { time, stream, tag, text: content }
  })
}

/** The text that was written: partial lines joined. */
export const joinLog = (lines: readonly LogLine[]): string =>
  lines.map((line) => line.text + (line.tag === 'F' ? '\n' : '')).join('')
