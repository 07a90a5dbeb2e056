// Who pulls: Coracle, Debian's containerd, Debian's podman; each with its data on an ext4 of its own, in a cgroup of its own.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { run, startProgram } from '@coracle/testkit/program'
import { makeWorld, type World } from '@coracle/testkit/world'
import { mountExt4, mountTmpfs } from '../disk.ts'
import { type Cost, Meter } from './meter.ts'

const repository = fileURLToPath(new URL('../../../', import.meta.url))

export interface Puller extends AsyncDisposable {
  readonly name: string
  /** All of them at once. */
  pull(images: readonly string[]): Promise<Cost>
  remove(images: readonly string[]): Promise<void>
}

export const pullerNames = ['containerd', 'podman', 'coracle'] as const
export type PullerName = (typeof pullerNames)[number]

const pullMs = 1_200_000

/** Rejects with what is to be done when the program of a puller is missing: before anything is set up. */
export async function needProgram(name: PullerName): Promise<void> {
  if (name === 'coracle') return
  const { exitCode } = await run(['/bin/sh', '-c', `command -v ${name}`])
  if (exitCode !== 0)
    throw new Error(`${name} is not installed: apt-get install --no-install-recommends ${name}, or name others with --target`)
}

export async function startPuller(name: PullerName, scratchDir: string): Promise<Puller> {
  await using undo = new AsyncDisposableStack()
  const world = await makeWorld()
  undo.defer(() => world.remove())
  undo.use(await mountExt4(world.root, scratchDir))
  undo.use(await mountTmpfs(world.state))
  const meter = undo.use(new Meter(`${world.networkName}-pulls`))
  const parts = { name, world, meter }
  if (name === 'podman') return podman(parts, undo.move())
  const argv = name === 'containerd' ? await containerdArgv(world) : await coracleArgv(world)
  const daemon = await startProgram({ argv: meter.within(argv), logPath: world.daemonLog })
  undo.defer(() => daemon.stop())
  const client = connect(world.socket, { timeoutMs: pullMs })
  undo.defer(() => client.close())
  await eventually(
    `${name} serves`,
    async () => {
      if (!daemon.running()) throw new Error(`${name} ended: see ${world.daemonLog}`)
      return client.runtime.version({}, { timeoutMs: 5000 }).then(
        () => true,
        () => false,
      )
    },
    { timeoutMs: 60_000 },
  )
  const stack = undo.move()
  const all = async (images: readonly string[]) =>
    await Promise.all(images.map((image) => client.image.pullImage({ image: { image } }, { timeoutMs: pullMs })))
  return {
    name,
    pull: (images) => meter.measure(() => all(images), daemon.pid),
    async remove(images) {
      for (const image of images) await client.image.removeImage({ image: { image } })
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function podman(
  { name, world, meter }: { readonly name: string; readonly world: World; readonly meter: Meter },
  stack: AsyncDisposableStack,
): Puller {
  const places = [
    '--storage-driver',
    'overlay',
    '--root',
    world.root,
    '--runroot',
    world.state,
    '--tmpdir',
    join(world.directory, 'tmp'),
  ]
  const call = async (argv: readonly [string, ...string[]]) => {
    const { exitCode, stderr } = await run(argv, pullMs)
    if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${stderr.trim()}`)
  }
  return {
    name,
    pull: (images) =>
      meter.measure(() =>
        Promise.all(images.map((image) => call(meter.within(['podman', ...places, 'pull', '-q', '--tls-verify=false', image])))),
      ),
    remove: async (images) => call(['podman', ...places, 'rmi', '-f', ...images]),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

async function coracleArgv({ directory, root, state, socket, cniConfigDir }: World): Promise<readonly string[]> {
  const config = join(directory, 'coracle.toml')
  await writeFile(config, '')
  const places = ['--root', root, '--state', state, '--socket', socket, '--cni-config-dir', cniConfigDir]
  return [join(repository, 'bin/coracled'), '--config', config, ...places]
}

async function containerdArgv(world: World): Promise<readonly string[]> {
  const config = join(world.directory, 'containerd.toml')
  const text = JSON.stringify
  await writeFile(
    config,
    `version = 2
root = ${text(world.root)}
state = ${text(world.state)}
[grpc]
  address = ${text(world.socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${text(join(world.directory, 'opt'))}
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = ${text(world.cniConfigDir)}
`,
  )
  return ['containerd', '--config', config]
}
