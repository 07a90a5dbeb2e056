// Reads how a process is confined, from the kernel alone.
import { readlinkSync, statSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { type CgroupLayout, readLayout } from '../cgroup/layout.ts'
import type { ProcessIdentity } from '../host.ts'
import { parseMountInfo } from '../mountinfo.ts'
import { isAlive } from '../proc.ts'
import { readSmall } from '../stats/read-small.ts'
import { readDescriptors } from './descriptors.ts'
import type { Isolation, NamespaceInodes, NamespaceType, ProcessIsolation } from './door.ts'
import { readDeviceRules, readLimits } from './limits.ts'
import { masksAmong } from './masks.ts'
import { readWhole } from './read-whole.ts'
import { parseIdMap, parseRlimits, parseStatus } from './status.ts'

export interface IsolationOptions {
  readonly cgroupRoot?: string | undefined
  /** Where proc is mounted. Default /proc. */
  readonly procRoot?: string
  /** Default: by start time. */
  readonly alive?: (process: ProcessIdentity) => boolean
}

const types: readonly NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

export function createIsolation(options: IsolationOptions = {}): Isolation {
  const { cgroupRoot = '/sys/fs/cgroup', procRoot = '/proc', alive = isAlive } = options
  return {
    read(process) {
      const directory = `${procRoot}/${process.pid}`
      const status = readSmall(`${directory}/status`)
      if (status === undefined) return undefined
      const found = readFrom(directory, status, readLayout(cgroupRoot))
      // A pid that still is this process's now was it all the time.
      return alive(process) ? found : undefined
    },
    hostNamespaces: () => namespacesOf(`${procRoot}/self`),
    namespaceAt: (path) => unlessErrno(gone, () => statSync(path).ino, undefined),
  }
}

const gone = ['ENOENT', 'ESRCH', 'ENOTDIR']

function readFrom(directory: string, status: string, layout: CgroupLayout): ProcessIsolation {
  const text = (name: string) => readSmall(`${directory}/${name}`) ?? ''
  // Pods with many volumes have long ones.
  const mounts = parseMountInfo(readWhole(`${directory}/mountinfo`))
  const cgroup = text('cgroup')
  return {
    namespaces: namespacesOf(directory),
    ...parseStatus(status),
    uidMap: parseIdMap(text('uid_map')),
    gidMap: parseIdMap(text('gid_map')),
    label: text('attr/current').replace(/[\0\n]+$/, ''),
    mounts,
    ...masksAmong(mounts),
    cgroups: readLimits(layout, cgroup),
    devices: readDeviceRules(layout, cgroup),
    rlimits: parseRlimits(text('limits')),
    oomScoreAdj: Number(text('oom_score_adj')),
    descriptors: readDescriptors(directory, mounts),
  }
}

function namespacesOf(directory: string): NamespaceInodes {
  return Object.fromEntries(
    types.flatMap((type) => {
      const link = unlessErrno(gone, () => readlinkSync(`${directory}/ns/${type}`), '')
      const inode = /:\[(\d+)\]$/.exec(link)?.[1]
      return inode === undefined ? [] : [[type, Number(inode)]]
    }),
  )
}
