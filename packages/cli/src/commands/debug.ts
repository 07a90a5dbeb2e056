import { randomBytes } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { codeOf, doing, notFound, precondition } from '@coracle/base/errors'
import { type Container, ContainerState, PodSandboxState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { type DebugSpec, debugContainerConfig, sandboxConfigOf } from '../debug/config.ts'
import { pullImage } from '../pull/pull-image.ts'
import { resolveContainer } from '../resolve.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts'
import { type StreamOptions, streamOptions } from '../stream/options.ts'
import { runAttached } from '../stream/run-attached.ts'
import { stateText } from './ps.ts'

const HOST_BUSYBOX = '/bin/busybox'

export const command = defineCommand({
  name: 'debug',
  summary: 'Open a shell beside a container whose image has none',
  usage: 'debug [options] CONTAINER [COMMAND [ARG…]]',
  description: [
    'Makes a container that shares the network and the processes of CONTAINER, and removes it at the end. Its tools are those of',
    `--image, or without one this machine's ${HOST_BUSYBOX} (which must be static). The files of CONTAINER are in /proc/1/root. On a`,
    'node with a kubelet use kubectl debug: the kubelet removes containers it does not know.',
  ].join('\n'),
  options: {
    image: { kind: 'string', value: 'IMAGE', help: 'image with the tools; pulled when missing' },
    'no-tty': { kind: 'flag', help: 'without a terminal: for scripts' },
    'detach-keys': { kind: 'string', value: 'KEYS', help: `leave when typed (default ${DEFAULT_DETACH_KEYS}); "" for none` },
    ...streamOptions,
  },
  operands: { min: 1 },
  stopAtOperand: true,
  examples: ['coracle debug web', 'coracle debug web ps', 'coracle debug --image registry.example.org/tools:1 web bash'],
  async run(context, options, [name = '', ...words]) {
    const detachKeys = parseDetachKeys(options['detach-keys'] ?? DEFAULT_DETACH_KEYS)
    const target = await resolveContainer(context, name)
    if (target.state !== ContainerState.CONTAINER_RUNNING)
      throw precondition(`container ${name} is not running but ${stateText(target).toLowerCase()}: debug needs a running one`)
    const command = words[0] === '--' ? words.slice(1) : words
    const tty = !options['no-tty']
    const spec = { target, command, tty, suffix: randomBytes(3).toString('hex') }
    const tool = options.image === undefined ? await hostTool() : { image: options.image }
    if ('image' in tool) await ensureImage(context, tool.image)
    return await debug(context, { ...spec, tool }, { stream: options, detachKeys })
  },
})

async function hostTool(): Promise<{ readonly busybox: string }> {
  await access(HOST_BUSYBOX, constants.X_OK).catch(() => {
    throw notFound(`${HOST_BUSYBOX} is not on this machine: install busybox-static, or name an image with --image`)
  })
  return { busybox: HOST_BUSYBOX }
}

async function ensureImage(context: Context, image: string): Promise<void> {
  const { image: present } = await context.image.imageStatus({ image: { image } })
  if (!present) await pullImage(context, { image, credentials: { creds: undefined, auth: undefined, username: undefined } })
}

type Ways = { readonly stream: StreamOptions; readonly detachKeys: Buffer }

async function debug(context: Context, spec: DebugSpec, ways: Ways): Promise<number> {
  const { runtime } = context
  const sandboxConfig = sandboxConfigOf(await podOf(context, spec.target))
  const config = debugContainerConfig(spec, sandboxConfig)
  const { containerId } = await runtime.createContainer({ podSandboxId: spec.target.podSandboxId, config, sandboxConfig })
  try {
    const end = await runAttached(context, { containerId, stdin: true, tty: spec.tty, ...ways })
    return end.kind === 'ended' ? end.exitCode : 0
  } finally {
    await doing('remove the debug container', () => removeContainer(context, containerId))
  }
}

async function podOf({ runtime }: Context, { podSandboxId }: Container) {
  const { items } = await runtime.listPodSandbox({ filter: { id: podSandboxId } })
  const pod = items.find(({ id, state }) => id === podSandboxId && state === PodSandboxState.SANDBOX_READY)
  if (!pod) throw precondition(`pod ${podSandboxId} is not ready`)
  const { status } = await runtime.podSandboxStatus({ podSandboxId })
  return { pod, options: status?.linux?.namespaces?.options }
}

async function removeContainer({ runtime }: Context, containerId: string): Promise<void> {
  try {
    await runtime.stopContainer({ containerId, timeout: 0n })
    await runtime.removeContainer({ containerId })
  } catch (err) {
    if (codeOf(err) !== 'not_found') throw err
  }
}
