// Whether pods of a handler can have user namespaces on this machine. No version says so: it takes the kernel, the file systems below
// the root and state directories, the way to them, and the runtime. So it is tried, with a container of the same make that is never started.
import { createHash } from 'node:crypto'
import { chownSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { within } from '@coracle/base/signals'
import { cgroupsPath } from '@coracle/container-spec'
import type { CgroupDriver, Host } from '@coracle/host'
import type { OciRuntime } from '@coracle/oci-runtime'
import type { RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import type { Config } from './config/config.ts'
import type { RuntimeTable } from './runtimes.ts'

const log = logger('daemon')

/** Ids of nobody; where they begin does not matter. */
const base = 2_000_000_000
const size = 65_536
const limitMs = 20_000

interface UsernsProbe {
  readonly runtime: OciRuntime
  readonly host: Host
  /** What survives a reboot; image layers lie on the same file system. */
  readonly root: string
  readonly state: string
  readonly cgroupDriver: CgroupDriver
  readonly cgroupParent: string
}

/** What an answer stands for: the same again needs no other try. */
function keyOf({ runtime, root, state, host }: UsernsProbe): string {
  const of = (path: string) => {
    const { dev, ino, mtimeMs } = statSync(path)
    return [path, dev, ino, mtimeMs]
  }
  const program = existsSync(runtime.program) ? of(runtime.program) : []
  const directories = [root, state].map((path) => [path, statSync(path).dev, statSync(path).mode])
  return JSON.stringify([release(), host.processes.bootId(), program, directories])
}

/** Where answers are kept over restarts. */
interface Memory {
  getMeta(name: string): string | undefined
  setMeta(name: string, value: string): void
}

/** Resolves to the reason why not; undefined: they can. What worked since the last boot, with all the same, is not tried again. */
async function userNamespaceProblem(probe: UsernsProbe, memory: Memory, shutdown: AbortSignal): Promise<string | undefined> {
  const { runtime } = probe
  if (runtime.sandboxed) return 'its containers have a kernel of their own'
  const [name, key] = [`userns-${runtime.handler}`, keyOf(probe)]
  if (memory.getMeta(name) === key) return undefined
  const problem = await tryOnce(probe, shutdown)
  if (problem === undefined) memory.setMeta(name, key)
  else log.warn('pods cannot have user namespaces', { handler: runtime.handler, reason: problem })
  return problem
}

/** Leaves nothing. */
async function tryOnce(probe: UsernsProbe, shutdown: AbortSignal): Promise<string | undefined> {
  const { runtime } = probe
  const places = placesOf(probe)
  const signal = within(shutdown, limitMs)
  try {
    await clear(probe, places)
    try {
      await prepare(probe, places, signal)
      const paths = { id: places.id, bundle: places.bundle, state: join(places.bundle, 'run') }
      const stdio = { logPath: undefined, stdin: false, stdinOnce: false, terminal: false, monitorCgroup: undefined }
      const { pid } = await runtime.create({ paths, spec: specOf(probe, places), ...stdio }, signal)
      examine(pid)
      return undefined
    } finally {
      await clear(probe, places)
    }
  } catch (err) {
    return explain(err)
  }
}

type Places = ReturnType<typeof placesOf>

function placesOf({ runtime, root, state, cgroupDriver, cgroupParent }: UsernsProbe) {
  const [disk, memory] = [join(root, 'probe', runtime.handler), join(state, 'probe', runtime.handler)]
  // Cgroups and runtimes know it beside those of other daemons, and an earlier start of this one must be found again.
  const id = `probe-${runtime.handler}-${createHash('sha256').update(state).digest('hex').slice(0, 16)}`
  return {
    ...{ id, disk, memory },
    ...{ layers: join(disk, 'layers'), upper: join(disk, 'upper'), work: join(disk, 'work') },
    ...{ namespaces: join(memory, 'ns'), mapped: join(memory, 'mapped'), rootfs: join(memory, 'rootfs') },
    bundle: join(memory, 'bundle'),
    parent: cgroupDriver === 'systemd' ? 'coracle.slice' : `${cgroupParent}/${id}`,
  }
}

async function prepare({ host }: UsernsProbe, places: Places, signal: AbortSignal): Promise<void> {
  const { layers, upper, work, namespaces, mapped, rootfs, memory } = places
  for (const path of [join(layers, '1'), upper, work]) mkdirSync(path, { recursive: true, mode: 0o755 })
  // A runtime looks whether the program is there before it is started.
  writeFileSync(join(layers, '1/file'), '', { mode: 0o755 })
  mkdirSync(memory, { recursive: true, mode: 0o711 })
  mkdirSync(rootfs)
  chownSync(upper, base, base)
  const mappings = [{ containerID: 0, hostID: base, size }]
  host.namespaces.pin({
    directory: namespaces,
    kinds: ['net', 'ipc', 'uts'],
    userMappings: { uids: mappings, gids: mappings },
  })
  const usernsPath = join(namespaces, 'user')
  await host.mounts.mountClone({ source: layers, destination: mapped, usernsPath, recursive: false, timeoutMs: limitMs }, signal)
  const options = [`lowerdir=${join(mapped, '1')}`, `upperdir=${upper}`, `workdir=${work}`]
  host.mounts.mount({ type: 'overlay', source: 'overlay', destination: rootfs, options })
  if (lstatSync(join(rootfs, 'file')).uid !== base)
    throw new CodedError('failed_precondition', `the overlay at ${rootfs} does not show mapped ids: Linux 5.19 is needed`)
}

function specOf({ cgroupDriver }: UsernsProbe, { id, namespaces, rootfs, parent }: Places): RuntimeSpec {
  const mappings = [{ containerID: 0, hostID: base, size }]
  const none: readonly string[] = []
  const capabilities = { bounding: none, effective: none, inheritable: none, permitted: none, ambient: none }
  const options = ['nosuid', 'noexec', 'nodev']
  const joined = (['network', 'ipc', 'uts', 'user'] as const).map((type) => ({
    type,
    path: join(namespaces, type === 'network' ? 'net' : type),
  }))
  return {
    ociVersion: '1.0.2',
    process: {
      ...{ terminal: false, args: ['/file'], env: [], cwd: '/', capabilities, rlimits: [], noNewPrivileges: true },
      user: { uid: size - 1, gid: size - 1, umask: 0o77, additionalGids: [] },
    },
    root: { path: rootfs, readonly: false },
    mounts: [
      { type: 'proc', source: 'proc', destination: '/proc', options },
      { type: 'tmpfs', source: 'tmpfs', destination: '/dev', options: ['nosuid', 'mode=755', 'size=64k'] },
      { type: 'mqueue', source: 'mqueue', destination: '/dev/mqueue', options },
      { type: 'sysfs', source: 'sysfs', destination: '/sys', options: [...options, 'ro'] },
    ],
    annotations: {},
    linux: {
      namespaces: [{ type: 'mount' }, { type: 'pid' }, ...joined],
      ...{ uidMappings: mappings, gidMappings: mappings, devices: [], maskedPaths: [], readonlyPaths: [] },
      cgroupsPath: cgroupsPath(parent, id, { cgroupDriver }),
      resources: { devices: [{ allow: false, access: 'rwm' }] },
    },
  }
}

/** Looks at the container from outside. */
function examine(pid: number): void {
  const map = readFileSync(`/proc/${pid}/uid_map`, 'latin1').trim().split(/\s+/).join(' ')
  if (map !== `0 ${base} ${size}`)
    throw new CodedError('failed_precondition', `the runtime gave the container the mapping ${map}`)
  const { uid } = lstatSync(`/proc/${pid}/root/file`)
  if (uid !== base) throw new CodedError('failed_precondition', `a file of root belongs to user ${uid} in the container`)
}

/** Also what an earlier daemon left. */
async function clear({ runtime, host, cgroupDriver }: UsernsProbe, places: Places): Promise<void> {
  const { id, bundle, memory, disk, namespaces, mapped, rootfs, parent } = places
  if (existsSync(bundle)) await runtime.delete({ id, bundle, state: join(bundle, 'run') })
  for (const path of [rootfs, mapped]) host.mounts.detach(path)
  await host.namespaces.unpin(namespaces)
  await host.paths.removeTree(memory)
  await host.paths.removeTree(disk)
  if (cgroupDriver === 'cgroupfs') await host.cgroups.remove(parent)
}

interface ProbeNeeds {
  readonly host: Host
  readonly runtimes: RuntimeTable
  readonly db: Memory
  readonly driver: CgroupDriver
}

/** Fills in `userNamespaceProblems` for every handler. Never rejects. */
export async function probeUserNamespaces(config: Config, needs: ProbeNeeds, shutdown: AbortSignal): Promise<void> {
  const { host, runtimes, db, driver } = needs
  const { root, state, cgroups } = config
  const work = [...runtimes.byHandler].map(async ([handler, runtime]) => {
    const probe = { runtime, host, root, state, cgroupDriver: driver, cgroupParent: cgroups.defaultParent }
    runtimes.userNamespaceProblems.set(handler, await userNamespaceProblem(probe, db, shutdown).catch(explain))
  })
  await Promise.all(work)
}
