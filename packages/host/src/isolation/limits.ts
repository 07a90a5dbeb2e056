// Limits of a process's cgroups, as the files of the hierarchies say (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).
import { closeSync, constants, openSync, readdirSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { CgroupLayout, Hierarchy } from '../cgroup/layout.ts'
import { libc, SYS } from '../libc.ts'
import { readSmall } from '../stats/read-small.ts'
import type { CgroupLimits, DeviceRules } from './door.ts'

/** Files that limit something; counters and switches are left out. */
const limitFiles: Readonly<Record<1 | 2, RegExp>> = {
  1: /^(memory\.((memsw\.|kmem\.|kmem\.tcp\.)?limit_in_bytes|soft_limit_in_bytes|swappiness|oom_control)|cpu\.(shares|idle|cfs_quota_us|cfs_period_us|rt_runtime_us|rt_period_us)|cpuset\.(cpus|mems)|pids\.max|hugetlb\..*limit_in_bytes|blkio\.(bfq\.)?weight(_device)?|blkio\.throttle\..*_device|net_cls\.classid|net_prio\.ifpriomap|rdma\.max|freezer\.state)$/,
  2: /^(memory\.(min|low|high|max|swap\.(high|max)|zswap\.max|oom\.group)|cpu\.(max|max\.burst|weight|idle)|cpuset\.(cpus|mems)(\.effective|\.partition)?|pids\.max|hugetlb\..*\.max|io\.(max|weight|bfq\.weight|latency)|rdma\.max|misc\.max|cgroup\.freeze)$/,
}

export function readLimits(layout: CgroupLayout, cgroupFile: string): readonly CgroupLimits[] {
  const lines = parseMembership(cgroupFile)
  return layout.hierarchies.flatMap((hierarchy) => {
    const path = pathIn(hierarchy, lines)
    if (path === undefined) return []
    const { version, controllers } = hierarchy
    return [{ version, controllers, path, limits: limitsBelow(hierarchy, path) }]
  })
}

export function readDeviceRules(layout: CgroupLayout, cgroupFile: string): DeviceRules {
  const lines = parseMembership(cgroupFile)
  const devices = layout.hierarchies.find(({ controllers, version }) => version === 1 && controllers.includes('devices'))
  const rules = devices === undefined ? '' : (readSmall(`${devices.root}${pathIn(devices, lines) ?? ''}/devices.list`) ?? '')
  const unified = layout.hierarchies.find(({ version }) => version === 2)
  const path = unified === undefined ? undefined : pathIn(unified, lines)
  return {
    rules: rules.split('\n').filter((line) => line !== ''),
    programs: unified === undefined || path === undefined ? undefined : devicePrograms(`${unified.root}${path}`),
  }
}

/** Paths by controller, `''` for the unified hierarchy. A cgroup's name may hold colons. */
function parseMembership(text: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, controllers, ...rest] = line.split(':')
    if (controllers === undefined) continue
    for (const controller of controllers.split(',')) paths.set(controller, rest.join(':'))
  }
  return paths
}

const pathIn = ({ version, controllers }: Hierarchy, paths: ReadonlyMap<string, string>): string | undefined =>
  paths.get(version === 2 ? '' : (controllers[0] ?? 'name=systemd'))

function limitsBelow(hierarchy: Hierarchy, path: string): Readonly<Record<string, string>> {
  const directory = `${hierarchy.root}${path}`
  const names = unlessErrno(['ENOENT', 'ENODEV'], () => readdirSync(directory), [])
  const found = names.toSorted().filter((name) => limitFiles[hierarchy.version].test(name))
  return Object.fromEntries(
    found.flatMap((name) => {
      const text = readSmall(`${directory}/${name}`)
      return text === undefined ? [] : [[name, text.trim()]]
    }),
  )
}

const BPF_PROG_QUERY = 16
const BPF_CGROUP_DEVICE = 6

/** bpf(2) BPF_PROG_QUERY. Undefined where it is refused: no CAP_NET_ADMIN or CAP_SYS_ADMIN, or a kernel without BPF. */
function devicePrograms(directory: string): number | undefined {
  const fd = unlessErrno(['ENOENT'], () => openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY), undefined)
  if (fd === undefined) return undefined
  try {
    // union bpf_attr: target_fd, attach_type, query_flags, attach_flags, prog_ids (64 bits), prog_cnt.
    const attributes = Buffer.alloc(64)
    attributes.writeUInt32LE(fd, 0)
    attributes.writeUInt32LE(BPF_CGROUP_DEVICE, 4)
    return libc.bpf(SYS.bpf, BPF_PROG_QUERY, attributes, attributes.length) < 0 ? undefined : attributes.readUInt32LE(24)
  } finally {
    closeSync(fd)
  }
}
