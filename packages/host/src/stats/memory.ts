// Memory of a cgroup (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst).
import type { Hierarchy } from '../cgroup/layout.ts'
import type { MemoryUse } from './door.ts'
import { flatKeyed, type ReadFile, readNumber } from './read-small.ts'

/** Limits of cgroup v1 from here on mean none: the kernel rounds its greatest number down to a page. */
const unlimited = 2 ** 60

export const limitOf = (value: number | undefined): number | undefined =>
  value === undefined || value >= unlimited ? undefined : value

/** Undefined when the cgroup does not exist. */
export function readMemory(hierarchy: Hierarchy, directory: string, readFile: ReadFile): MemoryUse | undefined {
  const text = readFile(`${directory}/memory.stat`)
  if (text === undefined) return undefined
  const stat = flatKeyed(text)
  const number = (file: string) => readNumber(`${directory}/${file}`, readFile)
  return hierarchy.version === 1 ? legacyMemory(stat, number) : unifiedMemory(stat, number)
}

type Stat = (name: string) => number
type ReadNumber = (file: string) => number | undefined

function legacyMemory(stat: Stat, number: ReadNumber): MemoryUse {
  const usageBytes = number('memory.usage_in_bytes') ?? 0
  // The least of its own and those above: without any there is no own one, and most containers are spared a read.
  const isLimited = stat('hierarchical_memory_limit') < unlimited
  const limitBytes = isLimited ? limitOf(number('memory.limit_in_bytes')) : undefined
  const both = limitBytes === undefined ? undefined : limitOf(number('memory.memsw.limit_in_bytes'))
  return {
    usageBytes,
    workingSetBytes: Math.max(usageBytes - stat('total_inactive_file'), 0),
    rssBytes: stat('total_rss'),
    cacheBytes: stat('total_cache'),
    mappedFileBytes: stat('total_mapped_file'),
    pageFaults: stat('total_pgfault'),
    majorPageFaults: stat('total_pgmajfault'),
    swapBytes: stat('total_swap'),
    limitBytes,
    swapLimitBytes: both === undefined || limitBytes === undefined ? undefined : Math.max(both - limitBytes, 0),
  }
}

function unifiedMemory(stat: Stat, number: ReadNumber): MemoryUse {
  // The root has no memory.current.
  const usageBytes = number('memory.current') ?? stat('anon') + stat('file')
  return {
    usageBytes,
    workingSetBytes: Math.max(usageBytes - stat('inactive_file'), 0),
    rssBytes: stat('anon'),
    cacheBytes: stat('file'),
    mappedFileBytes: stat('file_mapped'),
    pageFaults: stat('pgfault'),
    majorPageFaults: stat('pgmajfault'),
    swapBytes: number('memory.swap.current') ?? 0,
    limitBytes: limitOf(number('memory.max')),
    swapLimitBytes: limitOf(number('memory.swap.max')),
  }
}
