// Numbers of a cgroup from whichever hierarchies have its controllers.
import { existsSync } from 'node:fs'
import { type CgroupLayout, readLayout } from '../cgroup/layout.ts'
import { cgroupParts, pidsBelow } from '../cgroup/tree.ts'
import { type Directories, readDetails } from './details.ts'
import type { CgroupUsage, Stats } from './door.ts'
import { readFileSystem } from './file-system.ts'
import { readInterfaces } from './interfaces.ts'
import { createKeptFiles } from './kept-files.ts'
import { readMemory } from './memory.ts'
import { parsePressure } from './pressure.ts'
import { countProcesses, openFilesLimit } from './process-counts.ts'
import { flatKeyed, type ReadFile, readNumber } from './read-small.ts'

/** Statistics of the cgroups below `root`; the layout is read once, at the first use. */
export function createStats(root = '/sys/fs/cgroup', pressureFile = '/proc/pressure'): Stats {
  let known: Lookup | undefined
  const readFile = createKeptFiles()
  const lookup = (): Lookup => {
    known ??= createLookup(readLayout(root), existsSync(pressureFile))
    return known
  }
  const pids = (path: string) => {
    const found = lookup().at(path)('pids') ?? lookup().at(path)('memory')
    return found === undefined ? [] : pidsBelow(found.path)
  }
  return {
    usage: (path) => readUsage(lookup(), path, readFile),
    details: (path) => readDetails(lookup().at(path)),
    interfaces: readInterfaces,
    processCounts: (path) => countProcesses(pids(path)),
    fileSystem: readFileSystem,
    openFilesLimit,
  }
}

interface Lookup {
  at(path: string): Directories
  /** The directory that has pressure files, where the kernel keeps them. */
  pressureAt(path: string): string | undefined
}

function createLookup(layout: CgroupLayout, hasPressure: boolean): Lookup {
  const byController = new Map(
    layout.hierarchies.flatMap((hierarchy) => hierarchy.controllers.map((controller) => [controller, hierarchy] as const)),
  )
  const unified = layout.hierarchies.find(({ version }) => version === 2)
  const suffixOf = (path: string) =>
    cgroupParts(path)
      .map((part) => `/${part}`)
      .join('')
  return {
    at: (path) => {
      const suffix = suffixOf(path)
      return (controller) => {
        const hierarchy = byController.get(controller)
        return hierarchy === undefined ? undefined : { hierarchy, path: `${hierarchy.root}${suffix}` }
      }
    },
    pressureAt: (path) => (unified === undefined || !hasPressure ? undefined : `${unified.root}${suffixOf(path)}`),
  }
}

function readUsage(lookup: Lookup, path: string, readFile: ReadFile): CgroupUsage | undefined {
  const at = lookup.at(path)
  const memory = at('memory')
  const pids = at('pids')
  const cpuNs = readCpuNs(at, readFile)
  const memoryUse = memory && readMemory(memory.hierarchy, memory.path, readFile)
  if (cpuNs === undefined && memoryUse === undefined) return undefined
  const pressure = lookup.pressureAt(path)
  const cpuPressure = pressure === undefined ? undefined : parsePressure(readFile(`${pressure}/cpu.pressure`))
  // All three are there, or none.
  const other = (file: string) => (cpuPressure === undefined ? undefined : parsePressure(readFile(`${pressure}/${file}`)))
  return {
    cpuNs,
    memory: memoryUse,
    tasks: pids && readNumber(`${pids.path}/pids.current`, readFile),
    cpuPressure,
    memoryPressure: other('memory.pressure'),
    ioPressure: other('io.pressure'),
  }
}

function readCpuNs(at: Directories, readFile: ReadFile): number | undefined {
  const legacy = at('cpuacct')
  if (legacy?.hierarchy.version === 1) return readNumber(`${legacy.path}/cpuacct.usage`, readFile)
  const stat = readFile(`${at('cpu')?.path}/cpu.stat`)
  return stat === undefined ? undefined : flatKeyed(stat)('usage_usec') * 1000
}
