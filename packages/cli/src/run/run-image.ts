// `coracle run IMAGE`: pull when missing, pod, container, start; then follow it to its end or leave it running.
import { randomBytes, randomUUID } from 'node:crypto'
import { access } from 'node:fs/promises'
import { CodedError, codeOf, doing, failed, notFound } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import type { Context } from '../context.ts'
import { printLog } from '../logs/print-log.ts'
import { readLog } from '../logs/read-log.ts'
import { pullImage } from '../pull/pull-image.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts'
import { UsageError } from '../usage-error.ts'
import { buildConfigs, NAMESPACE, type RunConfigs } from './config.ts'
import type { RunOptions } from './options.ts'
import { removePod } from './remove-pod.ts'

const STOP_GRACE_SECONDS = 10n

type Running = { readonly podSandboxId: string; readonly containerId: string; readonly configs: RunConfigs }

export async function runImage(context: Context, options: RunOptions, words: readonly string[]): Promise<number> {
  const [image = '', ...command] = words
  const detachKeys = parseDetachKeys(options['detach-keys'] ?? DEFAULT_DETACH_KEYS)
  if (options.detach && options.rm) throw new UsageError('--rm needs the command in the foreground: it cannot go with --detach')
  const configs = buildConfigs({
    options,
    image,
    command: command[0] === '--' ? command.slice(1) : command,
    suffix: randomBytes(3).toString('hex'),
    uid: randomUUID(),
    environment: process.env,
  })
  for (const { hostPath } of configs.container.mounts) await requirePath(hostPath)
  if (options.name !== undefined) await requireFreeName(context, options.name)
  await ensureImage(context, options, image)
  const running = await create(context, options, configs)
  if (!options.detach && (options.interactive || options.tty))
    return await runInteractive(context, { options, running, detachKeys })
  await orDiscard(context, running, () => context.runtime.startContainer({ containerId: running.containerId }))
  if (options.detach) {
    context.out.line(running.containerId)
    return 0
  }
  return await follow(context, options, running)
}

type Interactive = { readonly options: RunOptions; readonly running: Running; readonly detachKeys: Buffer }

async function runInteractive(context: Context, { options, running, detachKeys }: Interactive): Promise<number> {
  const { interactive: stdin, tty } = options
  const { runAttached } = await import('../stream/run-attached.ts')
  const request = { containerId: running.containerId, stdin, tty, stream: options, detachKeys }
  const end = await orDiscard(context, running, () => runAttached(context, request))
  if (end.kind === 'ended') return await finish(context, options, running)
  const name = running.configs.pod.metadata?.name ?? ''
  context.err.line(`\ncoracle: left ${name} running: coracle attach -it ${name} comes back, coracle rmp -f ${name} ends it`)
  return 0
}

async function requirePath(hostPath: string): Promise<void> {
  await access(hostPath).catch((err: unknown) => {
    throw new CodedError('not_found', `volume ${hostPath} does not exist on this machine: make it first`, { cause: err })
  })
}

/** The CRI tells pods apart by their uid as well, people only by their name. */
async function requireFreeName({ runtime }: Context, name: string): Promise<void> {
  const { items } = await runtime.listPodSandbox({ filter: { labelSelector: { 'io.kubernetes.pod.name': name } } })
  if (items.some(({ metadata }) => metadata?.name === name && metadata.namespace === NAMESPACE))
    throw new CodedError(
      'already_exists',
      `there is a pod "${name}" already: coracle rmp -f ${name} removes it, or choose another --name`,
    )
}

async function ensureImage(context: Context, options: RunOptions, image: string): Promise<void> {
  const when = options['no-pull'] ? 'never' : (options.pull ?? 'missing')
  if (when !== 'always') {
    const { image: present } = await context.image.imageStatus({ image: { image } })
    if (present) return
    if (when === 'never') throw notFound(`image ${image} is not on this machine: coracle pull ${image}`)
  }
  const credentials = { creds: options.creds, auth: undefined, username: undefined }
  await pullImage(context, { image, credentials, quiet: options.quiet })
}

/** Pod and container. What was made before a failure is removed again. */
async function create(context: Context, options: RunOptions, configs: RunConfigs): Promise<Running> {
  const { runtime } = context
  const { pod, container } = configs
  const interrupted = context.interruption()
  interrupted.throwIfAborted()
  const { podSandboxId } = await runtime.runPodSandbox({ config: pod, runtimeHandler: options.runtime ?? '' })
  return await orDiscard(context, { podSandboxId, configs }, async () => {
    interrupted.throwIfAborted()
    const { containerId } = await runtime.createContainer({ podSandboxId, config: container, sandboxConfig: pod })
    interrupted.throwIfAborted()
    return { podSandboxId, containerId, configs }
  })
}

async function orDiscard<T>(
  { runtime }: Context,
  { podSandboxId, configs }: Pick<Running, 'podSandboxId' | 'configs'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (err) {
    await discardPod({ runtime }, podSandboxId, configs).catch((cleanup: unknown) => {
      throw new SuppressedError(failed(`remove pod ${podSandboxId}`, cleanup), err)
    })
    throw err
  }
}

async function follow(context: Context, options: RunOptions, running: Running): Promise<number> {
  const { runtime } = context
  const { containerId } = running
  using _signals = forwardSignals(context, containerId)
  const { status } = await runtime.containerStatus({ containerId })
  if (status?.logPath) {
    const isGrowing = async () => (await statusOf(context, containerId)).state === ContainerState.CONTAINER_RUNNING
    // Not the interruption's signal: what a container says while it is being stopped is shown too.
    await printLog(context, readLog(status.logPath, { isGrowing, pollMs: 100, signal: new AbortController().signal }))
  }
  return await finish(context, options, running)
}

/** Of a container that has ended: what stays of it, and its exit code. */
async function finish(context: Context, options: RunOptions, { containerId, podSandboxId, configs }: Running): Promise<number> {
  const { runtime } = context
  const ended = await statusOf(context, containerId)
  if (options.rm) await doing('remove the pod', () => discardPod(context, podSandboxId, configs))
  else await doing('stop the pod', () => runtime.stopPodSandbox({ podSandboxId }))
  if (ended.reason === 'OOMKilled') context.err.line(`coracle: the container ran out of memory and was killed`)
  return ended.exitCode
}

async function statusOf(
  { runtime }: Context,
  containerId: string,
): Promise<{ state: ContainerState; exitCode: number; reason: string }> {
  try {
    const { status } = await runtime.containerStatus({ containerId })
    if (status) return status
  } catch (err) {
    if (codeOf(err) !== 'not_found') throw err
  }
  throw new CodedError('aborted', 'somebody else removed the container while it ran')
}

/** The first Ctrl-C or SIGTERM stops the container as `coracle stop` would, a second one kills it. */
function forwardSignals({ runtime, err }: Context, containerId: string): Disposable {
  let stops = 0
  const stop = () => {
    const timeout = stops++ === 0 ? STOP_GRACE_SECONDS : 0n
    runtime.stopContainer({ containerId, timeout }, { timeoutMs: 0 }).catch((cause: unknown) => {
      err.line(`coracle: cannot stop the container: ${cause instanceof Error ? cause.message : String(cause)}`)
    })
  }
  const names = ['SIGINT', 'SIGTERM'] as const
  for (const name of names) process.on(name, stop)
  return {
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, stop)
    },
  }
}

/** Stops and removes: what a failed start and --rm leave is nothing. */
async function discardPod({ runtime }: Pick<Context, 'runtime'>, podSandboxId: string, { pod }: RunConfigs): Promise<void> {
  await runtime.stopPodSandbox({ podSandboxId })
  await removePod({ runtime }, { id: podSandboxId, metadata: pod.metadata })
}
