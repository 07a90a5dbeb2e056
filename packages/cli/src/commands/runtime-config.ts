import { CgroupDriver, RuntimeConfigResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'

export const command = defineCommand({
  name: 'runtime-config',
  summary: 'Show what the runtime tells the kubelet (cgroup driver)',
  usage: 'runtime-config [options]',
  options: { output: outputOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle runtime-config'],
  async run({ runtime, out }, options) {
    const reply = await runtime.runtimeConfig({})
    if (options.output === 'json' || options.output === 'yaml') {
      const json = messageToJson(RuntimeConfigResponseSchema, reply)
      return void (await printStructured(out, options.output, json))
    }
    out.line(`cgroup driver: ${reply.linux?.cgroupDriver === CgroupDriver.CGROUPFS ? 'CGROUPFS' : 'SYSTEMD'}`)
  },
})
