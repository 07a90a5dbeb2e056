import { defineCommand } from '../command.ts'
import { saveFormats, saveImages } from '../moving/save-images.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'save',
  summary: 'Write images of the store to an archive',
  usage: 'save [options] IMAGE…',
  description:
    'Image ids stay. Layers that are not kept compressed are compressed anew in the oci formats, which changes the manifest’s digest.',
  options: {
    output: { kind: 'string', short: 'o', value: 'PATH', help: 'file or directory (default: standard output)' },
    format: {
      kind: 'string',
      value: 'FORMAT',
      choices: saveFormats,
      help: 'docker-archive (default), oci-archive, oci-dir or dir',
    },
    'preserve-digests': { kind: 'flag', help: 'fail rather than compress layers anew' },
    quiet: { kind: 'flag', short: 'q', help: 'say nothing on the way' },
  },
  operands: { min: 1 },
  examples: ['coracle save -o app.tar example.org/app:1', 'coracle save --format oci-archive app:1 app:2 > both.tar'],
  async run(context, options, images) {
    const output = options.output ?? '-'
    if (output === '-' && context.out.isTerminal)
      throw new UsageError('save writes bytes: give --output or redirect standard output')
    const format = saveFormats.find((known) => known === options.format) ?? 'docker-archive'
    await saveImages(context, { images, format, output, quiet: options.quiet, preserveDigests: options['preserve-digests'] })
  },
})
