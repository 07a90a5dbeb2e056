import { type Compressor, copyImage, openDestination } from '@coracle/image/moving'
import { parseReference } from '@coracle/oci-spec/reference'
import { defineCommand } from '../command.ts'
import { withProgress } from '../moving/copy-progress.ts'
import { tellChange } from '../moving/open.ts'
import { accessOf, registryOptions } from '../moving/registry-options.ts'
import { openStoreSource } from '../moving/store-source.ts'

const compressors: readonly Compressor[] = ['gzip', 'zstd', 'none']

export const command = defineCommand({
  name: 'push',
  summary: 'Push an image of the store to a registry',
  usage: 'push [options] IMAGE [NAME]',
  description:
    'NAME is where to, without it IMAGE. Layers that the registry has are not sent. Others are compressed anew unless they are kept ' +
    '(images.keep_blobs): then the manifest’s digest changes, never the image id. Prints the digest.',
  options: {
    compression: { kind: 'string', value: 'KIND', choices: compressors, help: 'for layers compressed anew: gzip, zstd or none' },
    'preserve-digests': { kind: 'flag', help: 'fail rather than compress layers anew' },
    quiet: { kind: 'flag', short: 'q', help: 'say nothing on the way' },
    ...registryOptions,
  },
  operands: { min: 1, max: 2 },
  examples: ['coracle push 127.0.0.1:5000/app:1', 'coracle push --creds me:secret app:1 registry.example.org/app:1'],
  async run(context, options, [image = '', name]) {
    const signal = context.interruption()
    const reference = parseReference((name ?? image).replace(/^docker:\/\//, ''))
    const access = accessOf('creds', options.creds, options['plain-http'])
    const compressor = compressors.find((known) => known === options.compression)
    const title = { title: `pushing ${name ?? image}`, quiet: options.quiet, lines: true }
    const { digest } = await withProgress(context, title, async (view) => {
      await using destination = await openDestination({ kind: 'docker', reference }, access)
      const request = { name: image, destination, preserveDigests: options['preserve-digests'], doing: view.doing }
      const chosen = compressor === undefined ? {} : { compressor }
      await using source = await openStoreSource(context, { ...request, ...chosen }, signal)
      tellChange(view, source)
      return await copyImage({ source, destination, ...view.hooks }, signal)
    })
    context.out.line(digest)
  },
})
