import { defineCommand } from '../command.ts'
import { loadContainerConfig, loadPodConfig } from '../config-file.ts'
import { credentialOptions } from '../pull/credentials.ts'
import { pullImage } from '../pull/pull-image.ts'
import { resolvePod } from '../resolve.ts'

export const command = defineCommand({
  name: 'create',
  summary: 'Create a container in a pod from files',
  usage: 'create [options] POD CONTAINER-CONFIG POD-CONFIG',
  description: 'The files are ContainerConfig and PodSandboxConfig of the CRI as JSON or YAML. Prints the id of the container.',
  options: { 'with-pull': { kind: 'flag', help: 'pull the image first' }, ...credentialOptions },
  operands: { min: 3, max: 3 },
  examples: ['coracle create 9c1d22 container.json pod.json', 'coracle start $(coracle create web container.yaml pod.yaml)'],
  async run(context, options, [pod = '', containerPath = '', podPath = '']) {
    const [config, sandboxConfig] = await Promise.all([loadContainerConfig(containerPath), loadPodConfig(podPath)])
    const { id } = await resolvePod(context, pod)
    if (options['with-pull']) await pullImage(context, { image: config.image?.image ?? '', credentials: options, sandboxConfig })
    const { containerId } = await context.runtime.createContainer({ podSandboxId: id, config, sandboxConfig })
    context.out.line(containerId)
  },
})
