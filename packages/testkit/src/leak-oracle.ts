// What a daemon may leave behind, counted from outside of it (never by asking it): mounts, namespaces, cgroups, processes,
// firewall rules, links, addresses, files. `diff` says in words what is there afterwards and was not before.
import { readdirSync } from 'node:fs'
import { isIP } from 'node:net'
import { basename, join } from 'node:path'
import { readLink, readText } from './may-be-gone.ts'
import { run } from './program.ts'

/** Whose traces count. The machine is shared with other test files and with people. */
export interface Scope {
  /** Paths below these are ours. */
  readonly directories: readonly string[]
  /** Of these, files that have a known id in their path are leaks. */
  readonly watchedDirectories: readonly string[]
  readonly ipamDir: string
  readonly bridge: string
  readonly networkName: string
  readonly subnetPrefix: string
  /** This process and its descendants are expected: the daemon while it runs. */
  readonly exceptTreeOf?: number | undefined
}

/** Each kind maps to lines that describe one thing each. */
export interface Snapshot {
  readonly mounts: ReadonlySet<string>
  readonly cgroups: ReadonlySet<string>
  readonly processes: ReadonlySet<string>
  readonly rules: ReadonlySet<string>
  readonly links: ReadonlySet<string>
  readonly leases: ReadonlySet<string>
  readonly files: ReadonlySet<string>
}

const kinds = ['mounts', 'cgroups', 'processes', 'rules', 'links', 'leases', 'files'] as const

/** Takes in everything of the machine that may belong to the scope; `ids` are the pod and container ids known so far. */
export async function takeSnapshot(scope: Scope, ids: ReadonlySet<string>): Promise<Snapshot> {
  const mentionsId = (text: string) => (text.match(/[0-9a-f]{64}/g) ?? []).some((id) => ids.has(id))
  return {
    mounts: new Set(mounts().filter((line) => mentionsId(line) || scope.directories.some((path) => line.includes(path)))),
    cgroups: new Set(cgroups().filter(mentionsId)),
    processes: new Set(processes(scope, mentionsId)),
    rules: await rules(scope, mentionsId),
    links: await links(scope),
    leases: new Set(list(scope.ipamDir).filter((path) => isIP(basename(path).replace(/_/g, ':')) !== 0)),
    files: new Set(scope.watchedDirectories.flatMap((path) => list(path)).filter(mentionsId)),
  }
}

/** One sentence for each thing that is in `after` and was not in `before`. */
export function diff(before: Snapshot, after: Snapshot): string[] {
  return kinds.flatMap((kind) => [...after[kind].difference(before[kind])].map((line) => `${nouns[kind]} left: ${line}`))
}

const nouns = {
  mounts: 'mount',
  cgroups: 'cgroup',
  processes: 'process',
  rules: 'firewall rule',
  links: 'network link',
  leases: 'IPAM lease',
  files: 'file',
} as const

/** `TARGET (TYPE from SOURCE)`; namespace pins are mounts of type nsfs. */
function mounts(): string[] {
  return readText('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [front = '', back = ''] = line.split(' - ')
      const [type, source] = back.split(' ')
      return `${front.split(' ')[4]} (${type} from ${source})`
    })
}

function cgroups(): string[] {
  const hierarchies = readText('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '')
  return hierarchies.flatMap((path) => directories(path))
}

function processes(scope: Scope, mentionsId: (text: string) => boolean): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const command = readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
      // A zombie's is empty, so is a kernel thread's; PID 1 may reap late and that is not our leak.
      if (command === '' || descendsFrom(Number(pid), scope.exceptTreeOf)) return []
      const traces = `${command} ${readText(`/proc/${pid}/cgroup`)} ${readLink(`/proc/${pid}/cwd`)}`
      const ours = mentionsId(traces) || scope.directories.some((path) => traces.includes(path))
      return ours ? [`${pid} ${command.slice(0, 200)}`] : []
    })
}

function descendsFrom(pid: number, ancestor: number | undefined): boolean {
  if (ancestor === undefined || pid <= 1) return false
  if (pid === ancestor) return true
  const parent = /^PPid:\s+(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1]
  return parent !== undefined && descendsFrom(Number(parent), ancestor)
}

async function rules(scope: Scope, mentionsId: (text: string) => boolean): Promise<ReadonlySet<string>> {
  const dumps = await Promise.all([
    run(['iptables-save']),
    run(['ip6tables-save']),
    run(['nft', '--stateless', 'list', 'ruleset']),
  ])
  const network = new RegExp(`\\b${scope.networkName}\\b`)
  return new Set(
    dumps
      .flatMap(({ stdout }) => stdout.split('\n'))
      .map((line) => line.trim())
      .filter((line) => line.includes(scope.subnetPrefix) || network.test(line) || mentionsId(line)),
  )
}

/** The bridge itself stays as long as its world; its ports belong to pods. */
async function links(scope: Scope): Promise<ReadonlySet<string>> {
  const { stdout } = await run(['ip', '-json', 'link', 'show', 'master', scope.bridge])
  if (stdout.trim() === '') return new Set()
  // The shape is ip(8)'s.
  const ports = JSON.parse(stdout) as { ifname?: string }[]
  return new Set(ports.map(({ ifname }) => `${ifname} on ${scope.bridge}`))
}

/** Everything below `path`, without the insides of what is named by an id or a digest: a root file system has thousands of files. */
function list(path: string): string[] {
  return entries(path).flatMap((entry) => {
    const inner = join(path, entry.name)
    return entry.isDirectory() && !/[0-9a-f]{64}/.test(entry.name) ? [inner, ...list(inner)] : [inner]
  })
}

const directories = (path: string): string[] =>
  entries(path)
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [join(path, entry.name), ...directories(join(path, entry.name))])

/** Empty when the directory has gone meanwhile. */
function entries(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch {
    return []
  }
}
