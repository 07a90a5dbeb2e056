import { defineCommand } from '../command.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'update-runtime-config',
  summary: 'Give the runtime its pod CIDR',
  usage: 'update-runtime-config --pod-cidr CIDR',
  options: {
    'pod-cidr': {
      kind: 'string',
      short: 'p',
      value: 'CIDR',
      help: 'the range pods get their addresses from; two with a comma for dual stack',
    },
  },
  operands: { min: 0, max: 0 },
  examples: [
    'coracle update-runtime-config --pod-cidr 10.85.0.0/16',
    'coracle update-runtime-config --pod-cidr 10.85.0.0/16,fd00:10:85::/64',
  ],
  async run({ runtime }, options) {
    const podCidr = options['pod-cidr']
    if (!podCidr) throw new UsageError('update-runtime-config needs --pod-cidr')
    await runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } })
    return undefined
  },
})
