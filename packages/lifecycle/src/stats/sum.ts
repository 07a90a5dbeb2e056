import type { CgroupUsage, MemoryUse } from '@coracle/host'

/** Of several cgroups together. Limits and pressure are of each alone and have no sum. Undefined when there is none. */
export function sumUsage(all: readonly (CgroupUsage | undefined)[]): CgroupUsage | undefined {
  const usages = all.filter((usage) => usage !== undefined)
  if (usages.length === 0) return undefined
  const memories = usages.flatMap(({ memory }) => memory ?? [])
  const total = (key: keyof MemoryUse) => memories.reduce((sum, memory) => sum + (memory[key] ?? 0), 0)
  return {
    cpuNs: usages.reduce((sum, { cpuNs = 0 }) => sum + cpuNs, 0),
    memory: {
      usageBytes: total('usageBytes'),
      workingSetBytes: total('workingSetBytes'),
      rssBytes: total('rssBytes'),
      cacheBytes: total('cacheBytes'),
      mappedFileBytes: total('mappedFileBytes'),
      pageFaults: total('pageFaults'),
      majorPageFaults: total('majorPageFaults'),
      swapBytes: total('swapBytes'),
      limitBytes: undefined,
      swapLimitBytes: undefined,
    },
    tasks: usages.reduce((sum, { tasks = 0 }) => sum + tasks, 0),
    cpuPressure: undefined,
    memoryPressure: undefined,
    ioPressure: undefined,
  }
}
