import { defineCommand } from '../command.ts'
import { loadPodConfig } from '../config-file.ts'
import { credentialOptions } from '../pull/credentials.ts'
import { pullImage } from '../pull/pull-image.ts'
import { parsePairs } from '../select.ts'

export const command = defineCommand({
  name: 'pull',
  summary: 'Pull an image',
  usage: 'pull [options] IMAGE',
  description: 'Shows progress per layer where the runtime tells it, otherwise the time that has passed.',
  options: {
    quiet: { kind: 'flag', short: 'q', help: 'print only the id of the image' },
    ...credentialOptions,
    annotation: { kind: 'list', short: 'a', value: 'KEY=VALUE', help: 'annotation for the image' },
    'pod-config': { kind: 'string', value: 'FILE', help: 'pod configuration to pull for' },
    'pull-timeout': { kind: 'duration', value: 'DURATION', help: 'give up after this long (default: never)' },
  },
  operands: { min: 1, max: 1 },
  examples: [
    'coracle pull registry.k8s.io/pause:3.10',
    'coracle pull --creds me:secret registry.example.org/app:1',
    'coracle pull -q 127.0.0.1:5000/busybox:1',
  ],
  async run(context, options, [image = '']) {
    const podConfig = options['pod-config']
    const imageRef = await pullImage(context, {
      image,
      credentials: options,
      annotations: parsePairs('annotation', options.annotation),
      quiet: options.quiet,
      timeoutMs: options['pull-timeout'],
      ...(podConfig === undefined ? {} : { sandboxConfig: await loadPodConfig(podConfig) }),
    })
    context.out.line(options.quiet ? imageRef : `Image is up to date for ${imageRef}`)
  },
})
