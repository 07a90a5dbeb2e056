// The confinement of a container for people: short where all is as usual, whole where it matters.
import {
  type ContainerIsolationResponse,
  type IsolationCapabilities,
  type IsolationIds,
  Vantage,
} from '@coracle/cri-api/isolation'
import { renderTable, shortId } from '../print/table.ts'

type Section = readonly [heading: string, lines: readonly string[]]

const rows = (heads: readonly string[], cells: readonly (readonly string[])[]): readonly string[] =>
  cells.length === 0 ? [] : renderTable(heads, cells).trimEnd().split('\n')

const sandboxNote = [
  'The container runs on a kernel of its own. What follows is of the sandbox process around it, as seen from this machine;',
  "the container's own users, capabilities, mounts and limits are kept inside.",
]

/** Everything that `ContainerIsolation` tells, in sections. */
export function isolationText(name: string, found: ContainerIsolationResponse): string {
  const title = `${name} (${shortId(found.containerId)}, ${found.runtimeHandler}, pid ${found.pid})`
  const note = found.vantage === Vantage.SANDBOX ? sandboxNote : []
  const sections = sectionsOf(found).filter(([, lines]) => lines.length > 0)
  const body = sections.flatMap(([heading, lines]) => ['', heading, ...lines.map((line) => `  ${line}`)])
  return [title, ...note, ...body, ''].join('\n')
}

function sectionsOf(found: ContainerIsolationResponse): readonly Section[] {
  const { namespaces, mounts, rlimits, descriptors } = found
  const shared = namespaces.map(({ type, inode, sharedWith }) => [type, String(inode), sharedWith])
  const mounted = mounts.map((m) => [m.target, m.type, m.flags.join(','), m.propagation, origin(m)])
  const limited = rlimits.map(({ name, soft, hard }) => [name, soft, hard])
  const open = descriptors.map(({ fd, access, target, outside }) => [
    ...[String(fd), access, target],
    outside ? "outside the container's mounts" : '',
  ])
  return [
    ['Namespaces', rows(['TYPE', 'INODE', 'SHARED WITH'], shared)],
    ['Users and groups', users(found)],
    ['Capabilities', capabilities(found.capabilities)],
    ['Privileges', privileges(found)],
    ['Masked paths', found.maskedPaths],
    ['Read-only paths', found.readonlyPaths],
    ['Mounts', rows(['TARGET', 'TYPE', 'FLAGS', 'PROPAGATION', 'SOURCE'], mounted)],
    ['Cgroup limits', cgroups(found.cgroups)],
    ['Devices', devices(found)],
    ['Resource limits', rows(['NAME', 'SOFT', 'HARD'], limited)],
    ['Open descriptors of the init', rows(['FD', 'ACCESS', 'TARGET', ''], open)],
  ]
}

const origin = ({ source, root }: { readonly source: string; readonly root: string }): string =>
  root === '/' ? source : `${source}[${root}]`

/** One number where all four are the same. */
function fourIds(ids: IsolationIds | undefined): string {
  if (ids === undefined) return ''
  const { real, effective, saved, fileSystem } = ids
  if (effective === real && saved === real && fileSystem === real) return String(real)
  return `real ${real}, effective ${effective}, saved ${saved}, file system ${fileSystem}`
}

/** The number that an id has in the container, where it is another. */
function inside(id: number | undefined, map: ContainerIsolationResponse['uidMap']): string {
  const range = map.find(({ outside, count }) => id !== undefined && id >= outside && id < outside + count)
  if (id === undefined || range === undefined || range.inside === range.outside) return ''
  return ` (${id - range.outside + range.inside} inside)`
}

function users({ uids, gids, groups, uidMap, gidMap }: ContainerIsolationResponse): readonly string[] {
  const ranges = (map: ContainerIsolationResponse['uidMap']) =>
    map.map(({ inside, outside, count }) => `${inside} is ${outside} on the host, ${count} ids`).join('; ')
  return [
    `uid      ${fourIds(uids)}${inside(uids?.effective, uidMap)}`,
    `gid      ${fourIds(gids)}${inside(gids?.effective, gidMap)}`,
    `groups   ${groups.join(' ')}`,
    `uid map  ${ranges(uidMap)}`,
    `gid map  ${ranges(gidMap)}`,
  ]
}

/** Sets that are equal share a line. */
function capabilities(sets: IsolationCapabilities | undefined): readonly string[] {
  if (sets === undefined) return []
  const byNames = new Map<string, string[]>()
  for (const name of ['effective', 'permitted', 'bounding', 'inheritable', 'ambient'] as const) {
    const names = sets[name].map((word) => word.replace(/^CAP_/, '')).join(' ') || 'none'
    byNames.set(names, [...(byNames.get(names) ?? []), name])
  }
  return [...byNames].flatMap(([names, which]) => [`${which.join(', ')}:`, `  ${names}`])
}

function privileges({ noNewPrivileges, seccomp, label, oomScoreAdj }: ContainerIsolationResponse): readonly string[] {
  const filters = seccomp?.filters ?? 0
  return [
    `no_new_privs   ${noNewPrivileges ? 'yes' : 'no'}`,
    `seccomp        ${seccomp?.mode ?? ''}${filters > 0 ? `, ${counted(filters, 'filter')}` : ''}`,
    `LSM label      ${label || 'none'}`,
    `oom_score_adj  ${oomScoreAdj}`,
  ]
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

type Cgroup = ContainerIsolationResponse['cgroups'][number]

/** The path once, where it is the same in all hierarchies. */
function cgroups(all: readonly Cgroup[]): readonly string[] {
  const paths = new Set(all.map(({ path }) => path))
  const title = ({ version, controllers }: Cgroup) => `v${version}${controllers.length > 0 ? ` ${controllers.join(',')}` : ''}`
  const lines = all.flatMap((cgroup) => {
    const limits = limitLines(cgroup)
    if (limits.length === 0) return []
    return [paths.size === 1 ? title(cgroup) : `${title(cgroup)} ${cgroup.path}`, ...limits]
  })
  return paths.size === 1 ? [...paths, ...lines] : lines
}

function limitLines({ limits }: Cgroup): readonly string[] {
  const set = Object.entries(limits).filter(([, value]) => value !== '')
  return set.map(([name, value]) => `  ${name} = ${value.replaceAll('\n', '; ')}`).sort()
}

function devices({ devices: told }: ContainerIsolationResponse): readonly string[] {
  const programs = told?.programs ?? 0
  return [...(told?.rules ?? []), ...(programs > 0 ? [`decided by ${counted(programs, 'program')} of the cgroup`] : [])]
}
