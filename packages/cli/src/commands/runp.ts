import { defineCommand } from '../command.ts'
import { loadPodConfig } from '../config-file.ts'

export const command = defineCommand({
  name: 'runp',
  summary: 'Run a pod from a file',
  usage: 'runp [options] POD-CONFIG',
  description: 'POD-CONFIG is a PodSandboxConfig of the CRI as JSON or YAML. Prints the id of the pod.',
  options: { runtime: { kind: 'string', short: 'r', value: 'HANDLER', help: 'runtime handler; the default one when absent' } },
  operands: { min: 1, max: 1 },
  examples: ['coracle runp pod.json', 'coracle runp --runtime crun pod.yaml'],
  async run({ runtime, out }, options, [path = '']) {
    const config = await loadPodConfig(path)
    const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: options.runtime ?? '' })
    out.line(podSandboxId)
  },
})
