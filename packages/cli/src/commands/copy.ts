import { copyImage, parseLocation } from '@coracle/image/moving'
import { mediaTypes } from '@coracle/oci-spec/media-type'
import { parsePlatform } from '@coracle/oci-spec/platform'
import { defineCommand } from '../command.ts'
import { withProgress } from '../moving/copy-progress.ts'
import { isLayout, openFrom, openTo } from '../moving/open.ts'
import { accessOf, destinationOptions, sourceOptions } from '../moving/registry-options.ts'

const dockerTypes: readonly string[] = [mediaTypes.dockerManifest, mediaTypes.dockerIndex]

export const command = defineCommand({
  name: 'copy',
  summary: 'Copy an image between registries, directories, archives and the store',
  usage: 'copy [options] SOURCE DESTINATION',
  description:
    'Locations: docker://NAME, oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:NAME], dir:DIR, store:NAME or just NAME. ' +
    'Every byte is checked against its digest on the way. Prints the digest of what the destination now holds.',
  options: {
    all: { kind: 'flag', short: 'a', help: 'an index with all its images, not only the one for a platform' },
    platform: { kind: 'string', value: 'OS/ARCH', help: 'the image of an index to copy (default: this machine’s)' },
    'preserve-digests': { kind: 'flag', help: 'fail rather than compress layers of the store anew' },
    quiet: { kind: 'flag', short: 'q', help: 'say nothing on the way' },
    ...sourceOptions,
    ...destinationOptions,
  },
  operands: { min: 2, max: 2 },
  examples: [
    'coracle copy docker://registry.k8s.io/pause:3.10 oci:/tmp/pause:3.10',
    'coracle copy --all docker://registry.example.org/app:1 docker://127.0.0.1:5000/app:1',
    'coracle copy app:1 docker-archive:app.tar:example.org/app:1',
  ],
  async run(context, options, [from = '', to = '']) {
    const signal = context.interruption()
    const [source, destination] = [parseLocation(from), parseLocation(to)]
    const title = { title: `copying ${from} to ${to}`, quiet: options.quiet, lines: true }
    const { digest } = await withProgress(context, title, async (view) => {
      await using writing = await openTo(context, destination, {
        access: accessOf('dest-creds', options['dest-creds'], options['dest-plain-http']),
        ...{ signal, from: { ...source, text: from }, view },
      })
      await using reading = await openFrom(context, source, {
        access: accessOf('src-creds', options['src-creds'], options['src-plain-http']),
        to: { location: destination, destination: writing },
        preserveDigests: options['preserve-digests'],
        ...{ signal, view },
      })
      const platform = options.platform === undefined ? {} : { platform: parsePlatform(options.platform) }
      const copied = await copyImage(
        { source: reading, destination: writing, all: options.all, ...platform, ...view.hooks },
        signal,
      )
      if (isLayout(destination) && dockerTypes.includes(copied.mediaType))
        view.note(
          `the image has Docker’s media types: others may not find it in an image layout (coracle save --format oci-archive converts)`,
        )
      return copied
    })
    context.out.line(digest)
  },
})
