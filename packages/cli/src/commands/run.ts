import { defineCommand } from '../command.ts'
import { loadContainerConfig, loadPodConfig, looksLikeConfigFile } from '../config-file.ts'
import type { Context } from '../context.ts'
import { pullImage } from '../pull/pull-image.ts'
import { type RunOptions, runOptions } from '../run/options.ts'
import { runImage } from '../run/run-image.ts'

export const command = defineCommand({
  name: 'run',
  summary: 'Run an image: pod and container in one go',
  usage: 'run [options] IMAGE [COMMAND [ARG…]]   or   run [options] CONTAINER-CONFIG POD-CONFIG',
  description: [
    'Pulls the image when it is missing, makes a pod with one container and shows what it prints; the exit code is that of the',
    'command. With two configuration files (.json, .yaml) in place of an image it makes pod and container from them, starts it',
    `and prints the id of the container. On a node with a kubelet, the kubelet removes pods it did not ask for.`,
  ].join('\n'),
  options: runOptions,
  operands: { min: 1 },
  stopAtOperand: true,
  examples: [
    'coracle run --rm busybox:1 echo hello',
    'coracle run --rm -it busybox:1 sh',
    'coracle run -d --name web -p 8080:80 -v ./site:/usr/share/nginx/html:ro nginx:1',
    'coracle run --rm -e LEVEL=debug -m 256m --cpus 0.5 registry.example.org/job:2 --once',
    'coracle run container.json pod.json',
  ],
  async run(context, options, operands) {
    const [container = '', pod = '', ...rest] = operands
    if (rest.length === 0 && looksLikeConfigFile(container) && looksLikeConfigFile(pod))
      return await runFiles(context, options, { container, pod })
    return await runImage(context, options, operands)
  },
})

async function runFiles(
  context: Context,
  options: RunOptions,
  paths: { readonly container: string; readonly pod: string },
): Promise<number> {
  const [config, sandboxConfig] = await Promise.all([loadContainerConfig(paths.container), loadPodConfig(paths.pod)])
  if (!options['no-pull'] && options.pull !== 'never') {
    const image = config.image?.image ?? ''
    const present = options.pull === 'always' ? undefined : (await context.image.imageStatus({ image: { image } })).image
    const credentials = { creds: options.creds, auth: undefined, username: undefined }
    if (!present) await pullImage(context, { image, credentials, sandboxConfig, quiet: options.quiet })
  }
  const { podSandboxId } = await context.runtime.runPodSandbox({ config: sandboxConfig, runtimeHandler: options.runtime ?? '' })
  const { containerId } = await context.runtime.createContainer({ podSandboxId, config, sandboxConfig })
  await context.runtime.startContainer({ containerId })
  context.out.line(containerId)
  return 0
}
