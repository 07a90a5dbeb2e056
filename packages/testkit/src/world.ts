// A world of its own for one daemon under test: directories, a bridge and subnet nobody else uses, a CNI configuration.
import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { belong, makeOwnDirectory, thisOwner } from './belongings.ts'
import { FAULTY_PLUGIN, installFaultyPlugin } from './faulty-plugin.ts'
import { run } from './program.ts'
import { reclaimOnce } from './reclaim.ts'

export interface World {
  /** Everything of this world is below it, the socket too (its path stays under the 107 bytes of sun_path). */
  readonly directory: string
  readonly root: string
  readonly state: string
  readonly socket: string
  readonly cniConfigDir: string
  readonly cniPluginDir: string
  readonly ipamDir: string
  /** A place for pod log directories and volumes. */
  readonly pods: string
  readonly daemonLog: string
  readonly bridge: string
  readonly networkName: string
  /** `10.211.7.` — every address of the world starts with it. */
  readonly subnetPrefix: string
  /** Deletes the bridge and the directory. */
  remove(): Promise<void>
}

export interface WorldOptions {
  /** Adds an IPv6 range to the network. Pod starts wait for duplicate address detection then. */
  readonly dualStack?: boolean
  /** Chains the plugin of faulty-plugin.ts; its files are in the world's directory. */
  readonly faultyPlugin?: boolean
  /** Directories of the world that are file systems of their own (tmpfs), of so many MiB, to be filled. */
  readonly disks?: { readonly [name in 'root' | 'state' | 'pods']?: number }
  /** How many files such a disk can have. */
  readonly inodes?: number
}

const SYSTEM_PLUGIN_DIR = '/usr/lib/cni'

export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  await reclaimOnce()
  const directory = makeOwnDirectory('ct-')
  // Runtimes go to the roots of pods with user namespaces as an unprivileged user.
  await chmod(directory, 0o711)
  const claim = await claimNumber()
  const name = `ct${claim.number}`
  const subnetPrefix = `10.211.${claim.number}.`
  const network = [belong({ kind: 'network', name, subnetPrefix }), belong({ kind: 'link', name })]
  const disks = (['root', 'state', 'pods'] as const).filter((name) => options.disks?.[name] !== undefined)
  const world = {
    directory,
    root: join(directory, 'root'),
    state: join(directory, 'state'),
    socket: join(directory, 's.sock'),
    cniConfigDir: join(directory, 'cni'),
    cniPluginDir: options.faultyPlugin ? join(directory, 'plugins') : SYSTEM_PLUGIN_DIR,
    ipamDir: join(directory, 'ipam'),
    pods: join(directory, 'pods'),
    daemonLog: join(directory, 'daemon.log'),
    ...{ bridge: name, networkName: name, subnetPrefix },
    async remove() {
      await run(['ip', 'link', 'delete', name])
      for (const disk of disks) await run(['umount', '-R', world[disk]])
      await rm(directory, { recursive: true, force: true })
      for (const owned of network) owned.release()
      await claim.release()
    },
  }
  for (const path of [world.root, world.state, world.cniConfigDir, world.ipamDir, world.pods]) await mkdir(path)
  for (const name of disks) {
    const { exitCode, stderr } = await run([
      'mount',
      '-t',
      'tmpfs',
      '-o',
      `mode=711,size=${options.disks?.[name]}m${options.inodes === undefined ? '' : `,nr_inodes=${options.inodes}`}`,
      'tmpfs',
      world[name],
    ])
    if (exitCode !== 0) throw new Error(`mount a disk at ${world[name]}: ${stderr}`)
  }
  if (options.faultyPlugin) {
    await mkdir(world.cniPluginDir)
    installFaultyPlugin(world.cniPluginDir, SYSTEM_PLUGIN_DIR, directory)
  }
  await writeFile(join(world.cniConfigDir, '10-test.conflist'), JSON.stringify(conflist(world, claim.number, options)))
  return world
}

function conflist(
  world: Pick<World, 'bridge' | 'networkName' | 'subnetPrefix' | 'ipamDir'>,
  number: number,
  { dualStack, faultyPlugin }: WorldOptions,
) {
  const ranges = [[{ subnet: `${world.subnetPrefix}0/24` }]]
  const routes = [{ dst: '0.0.0.0/0' }]
  if (dualStack) {
    ranges.push([{ subnet: `fd00:211:${number}::/64` }])
    routes.push({ dst: '::/0' })
  }
  return {
    cniVersion: '1.0.0',
    name: world.networkName,
    plugins: [
      {
        type: 'bridge',
        bridge: world.bridge,
        isGateway: true,
        // The bridge plugin forgets these rules when the namespace is gone before DEL, which tests with faults bring about.
        ipMasq: !faultyPlugin,
        hairpinMode: true,
        ipam: { type: 'host-local', dataDir: world.ipamDir, ranges, routes },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
      ...(faultyPlugin ? [{ type: FAULTY_PLUGIN }] : []),
    ],
  }
}

/** One place for all users of the machine's networks, whatever their TMPDIR is. */
const claims = '/tmp/ct-claims'

/** A number of 0..255 that no other world of this machine holds; test files run side by side in processes of their own. */
async function claimNumber(): Promise<{ number: number; release(): Promise<void> }> {
  await mkdir(claims, { recursive: true })
  const start = process.pid % 256
  for (let offset = 0; offset < 256; offset++) {
    const number = (start + offset) % 256
    if (networkInterfaces()[`ct${number}`]) continue
    const path = join(claims, String(number))
    if (!(await claimed(path))) continue
    const claim = belong({ kind: 'file', path })
    const release = async () => {
      await rm(path, { force: true })
      claim.release()
    }
    return { number, release }
  }
  throw new Error(`no free test network: remove stale files below ${claims}`)
}

/** Takes the claim file for this process. That of a dead process goes with what else was its own, not before. */
async function claimed(path: string): Promise<boolean> {
  try {
    await writeFile(path, thisOwner(), { flag: 'wx' })
    return true
  } catch {
    // Earlier versions wrote a pid alone.
    const holder = await readFile(path, 'utf8').catch(() => '')
    if (!/^\d+$/.test(holder) || existsSync(`/proc/${holder}`)) return false
    await rm(path, { force: true })
    return claimed(path)
  }
}
