import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolveContainer } from '../resolve.ts'
import { UsageError } from '../usage-error.ts'

const CPU_PERIOD_US = 100_000

export const command = defineCommand({
  name: 'update',
  summary: 'Change the resources of containers',
  usage: 'update [options] CONTAINER…',
  description: 'What is not given stays as it is.',
  options: {
    cpus: { kind: 'number', value: 'N', help: 'CPUs at most, such as 0.5: sets quota and period' },
    'cpu-period': { kind: 'number', value: 'MICROSECONDS', help: 'length of a CFS period' },
    'cpu-quota': { kind: 'number', value: 'MICROSECONDS', help: 'CPU time per period; -1 for no limit' },
    'cpu-share': { kind: 'number', value: 'SHARES', help: 'weight against other containers (1024 is one CPU)' },
    'cpuset-cpus': { kind: 'string', value: 'LIST', help: 'CPUs to run on, such as 0-2,4' },
    'cpuset-mems': { kind: 'string', value: 'LIST', help: 'memory nodes to use' },
    memory: { kind: 'size', short: 'm', value: 'SIZE', help: 'memory at most, such as 256m' },
    'oom-score-adj': { kind: 'number', value: 'N', help: 'from -1000 (never the first to be killed) to 1000; 0 leaves it' },
    'memory-swap': { kind: 'size', value: 'SIZE', help: 'memory and swap at most' },
  },
  operands: { min: 1 },
  examples: ['coracle update --memory 256m --cpus 0.5 web', 'coracle update --cpuset-cpus 0-1 3f2a1b'],
  async run(context, options, names) {
    if (Object.values(options).every((value) => value === undefined))
      throw new UsageError('update needs at least one resource to change')
    const quota = options.cpus === undefined ? options['cpu-quota'] : Math.round(options.cpus * CPU_PERIOD_US)
    const period = options.cpus === undefined ? options['cpu-period'] : CPU_PERIOD_US
    const linux = {
      cpuPeriod: whole('cpu-period', period),
      cpuQuota: whole('cpu-quota', quota),
      cpuShares: whole('cpu-share', options['cpu-share']),
      memoryLimitInBytes: whole('memory', options.memory),
      memorySwapLimitInBytes: whole('memory-swap', options['memory-swap']),
      oomScoreAdj: whole('oom-score-adj', options['oom-score-adj']),
      cpusetCpus: options['cpuset-cpus'] ?? '',
      cpusetMems: options['cpuset-mems'] ?? '',
    }
    return forEachTarget(context, names, async (name) => {
      const { id } = await resolveContainer(context, name)
      await context.runtime.updateContainerResources({ containerId: id, linux })
      context.out.line(id)
    })
  },
})

/** 0 is the CRI's "leave it". */
function whole(option: string, value: number | undefined): bigint {
  if (value !== undefined && !Number.isInteger(value))
    throw new UsageError(`option --${option} is ${value}; expected a whole number`)
  return BigInt(value ?? 0)
}
