import { hostPlatform, parsePlatform } from '@coracle/oci-spec/platform'
import { defineCommand } from '../command.ts'
import { loadImages } from '../moving/load-images.ts'

export const command = defineCommand({
  name: 'load',
  summary: 'Read images from an archive into the store',
  usage: 'load [options]',
  description:
    'Takes what docker save, podman save, ctr export, skopeo (docker-archive, oci-archive) and coracle save write, also compressed. ' +
    'Names of the archive are given only with --archive-names: a name decides what runs later.',
  options: {
    input: { kind: 'string', short: 'i', value: 'FILE', help: 'the archive (default: standard input)' },
    tag: { kind: 'list', short: 't', value: 'NAME', help: 'name for the archive’s one image; may be repeated' },
    'archive-names': { kind: 'flag', short: 'a', help: 'give the images the names that the archive has for them' },
    platform: { kind: 'string', value: 'OS/ARCH', help: 'the image of an index to take (default: this machine’s)' },
    quiet: { kind: 'flag', short: 'q', help: 'print only ids' },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle load -i app.tar -a', 'docker save app:1 | coracle load -t example.org/app:1'],
  async run(context, options) {
    const loaded = loadImages(context, {
      path: options.input ?? '-',
      tags: options.tag,
      archiveNames: options['archive-names'],
      platform: options.platform === undefined ? hostPlatform() : parsePlatform(options.platform),
      quiet: options.quiet,
    })
    for await (const { id, names, offered } of loaded) {
      context.out.line(options.quiet ? id : `Loaded: ${names.length > 0 ? names.join(', ') : id}`)
      if (names.length === 0 && offered.length > 0 && !options.quiet)
        context.err.line(
          `the archive calls it ${offered.map((name) => JSON.stringify(name)).join(', ')}: --archive-names takes that over`,
        )
    }
  },
})
