// The two products, each in a world of its own: data on ext4, run state on tmpfs, a bridge and a socket nobody else uses.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from '@coracle/cri-api'
import { belong } from '@coracle/testkit/belongings'
import { eventually } from '@coracle/testkit/eventually'
import { freePort } from '@coracle/testkit/free-port'
import { type Program, run, startProgram } from '@coracle/testkit/program'
import { makeWorld, type World } from '@coracle/testkit/world'
import { removeCgroups } from './cgroups.ts'
import { mountExt4, mountTmpfs } from './disk.ts'
import type { BenchImages } from './images.ts'
import type { Options } from './options.ts'
import { removeAllPods } from './pods.ts'
import { attribute, listenerPid } from './processes.ts'
import type { Target } from './target.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const pluginDir = '/usr/lib/cni'

export interface RunningProduct extends AsyncDisposable {
  readonly targets: readonly Target[]
}

/** Starts `product` and waits until it serves. Disposing removes its pods, ends it, and leaves nothing of it on the machine. */
export async function startProduct(
  product: 'containerd' | 'coracle',
  options: Options,
  images: BenchImages,
): Promise<RunningProduct> {
  await using undo = new AsyncDisposableStack()
  const world = await makeWorld()
  undo.defer(() => world.remove())
  undo.use(await mountExt4(world.root, options.scratchDir))
  undo.use(await mountTmpfs(world.state))
  undo.defer(() => killLeftovers(world))
  const cgroupParent = `/${world.networkName}-bench`
  undo.use(belong({ kind: 'cgroup', path: cgroupParent }))
  undo.defer(() => removeCgroups(cgroupParent))
  await rm(join(world.cniConfigDir, '10-test.conflist'))
  await writeFile(join(world.cniConfigDir, '10-bench.conflist'), JSON.stringify(conflist(world, options.network)), {
    mode: 0o644,
  })
  // Only where they are asked for: the daemon of the other measures is as it comes.
  const metricsPort =
    product === 'coracle' && options.scenarios.some((name) => name === 'kubelet' || name === 'churn')
      ? await freePort()
      : undefined
  const argv = product === 'containerd' ? await containerd(world, images) : await coracle(world, metricsPort)
  const daemon = await startProgram({ argv, logPath: world.daemonLog })
  undo.defer(() => daemon.stop())
  const client = connect(world.socket, { timeoutMs: 240_000 })
  undo.defer(() => client.close())
  await waitUntilServes({ daemon, world, version: () => client.runtime.version({}, { timeoutMs: 5000 }) })
  const base = {
    client,
    socket: world.socket,
    daemon: product,
    images,
    logRoot: world.pods,
    cgroupParent,
    ...(metricsPort === undefined ? {} : { metricsPort }),
  }
  const daemonPid = listenerPid(world.socket) ?? daemon.pid
  const all: Target[] =
    product === 'containerd'
      ? [{ ...base, name: 'containerd', handler: '', daemonPid }]
      : [
          { ...base, name: 'coracle-runc', handler: 'runc', daemonPid },
          { ...base, name: 'coracle', handler: '', daemonPid },
        ]
  const targets = all.filter(({ name }) => options.targets.some((wanted) => wanted === name))
  undo.defer(async () => void (await Promise.all(all.slice(0, 1).map(removeAllPods))))
  for (const target of targets.slice(0, 1)) await client.image.pullImage({ image: { image: target.images.busybox } })
  const stack = undo.move()
  return { targets, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** A server that somebody else runs. */
export async function attachEndpoint(
  { name, socket }: Options['endpoints'][number],
  images: BenchImages,
): Promise<RunningProduct> {
  const path = socket.replace(/^unix:(\/\/)?/, '')
  const client = connect(path, { timeoutMs: 240_000 })
  const daemonPid = listenerPid(path)
  if (daemonPid === undefined) throw new Error(`--endpoint ${name}: nobody listens on ${path}`)
  const cgroupParent = `/coracle-bench-${process.pid}`
  const logRoot = `/tmp/coracle-bench-logs-${process.pid}-${name}`
  const target: Target = { name, client, socket: path, handler: '', daemonPid, daemon: name, images, logRoot, cgroupParent }
  await client.image.pullImage({ image: { image: images.busybox } })
  return {
    targets: [target],
    [Symbol.asyncDispose]: async () => {
      await removeAllPods(target)
      await client.close()
      await removeCgroups(cgroupParent)
      await rm(logRoot, { recursive: true, force: true })
    },
  }
}

async function waitUntilServes(parts: { daemon: Program; world: World; version: () => Promise<unknown> }): Promise<void> {
  const { daemon, world, version } = parts
  try {
    await eventually(
      'the daemon serves',
      async () => {
        if (!daemon.running()) throw new Error(`${(await readFile(world.daemonLog, 'utf8')).slice(-4000)}\nit ended`)
        return version().then(
          () => true,
          () => false,
        )
      },
      { timeoutMs: 60_000 },
    )
  } catch (err) {
    throw new Error(`cannot start: ${(await readFile(world.daemonLog, 'utf8')).slice(-4000)}`, { cause: err })
  }
}

async function coracle(world: World, metricsPort: number | undefined): Promise<[string, ...string[]]> {
  const configPath = join(world.directory, 'coracle.toml')
  await writeFile(configPath, metricsPort === undefined ? '' : `[metrics]\nport = ${metricsPort}\n`)
  const { root, state, socket, cniConfigDir } = world
  const places = [
    '--root',
    root,
    '--state',
    state,
    '--socket',
    socket,
    '--cni-config-dir',
    cniConfigDir,
    '--cni-plugin-dir',
    pluginDir,
  ]
  return [join(repository, 'bin/coracled'), '--config', configPath, ...places]
}

async function containerd(world: World, images: BenchImages): Promise<[string, ...string[]]> {
  const configPath = join(world.directory, 'containerd.toml')
  const text = JSON.stringify
  await writeFile(
    configPath,
    `version = 2
root = ${text(world.root)}
state = ${text(world.state)}
[grpc]
  address = ${text(world.socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${text(join(world.directory, 'opt'))}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${text(images.pause)}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${text(pluginDir)}
    conf_dir = ${text(world.cniConfigDir)}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`,
  )
  return ['containerd', '--config', configPath]
}

function conflist(world: World, network: Options['network']): unknown {
  const full = network === 'full'
  const ipam = {
    type: 'host-local',
    dataDir: world.ipamDir,
    ranges: [[{ subnet: `${world.subnetPrefix}0/24` }]],
    routes: [{ dst: '0.0.0.0/0' }],
  }
  const bridge = { type: 'bridge', bridge: world.bridge, isGateway: true, ipMasq: full, hairpinMode: true, ipam }
  const portmap = { type: 'portmap', capabilities: { portMappings: true } }
  return { cniVersion: '1.0.0', name: world.networkName, plugins: full ? [bridge, portmap] : [bridge] }
}

/** What outlived its daemon although its pods were removed: found by the directory in its command line, ended by pid. */
async function killLeftovers(world: World): Promise<void> {
  for (const pid of attribute(-1, [world.directory]).overhead) {
    console.error(`ending a left-over process of ${world.directory}: ${pid}`)
    await run(['kill', '-KILL', String(pid)])
  }
}
