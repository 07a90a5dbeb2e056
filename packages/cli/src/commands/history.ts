import { defineCommand } from '../command.ts'
import { imageHistory } from '../moving/image-history.ts'
import { outputOption } from '../print/output-options.ts'
import { printStructured } from '../print/structured.ts'
import { renderTable } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

const shownCharacters = 60

export const command = defineCommand({
  name: 'history',
  summary: 'Show how an image was made',
  usage: 'history [options] IMAGE',
  description:
    'IMAGE is one of the store, or a location such as docker://NAME or oci:DIR. Newest step first; sizes as compressed.',
  options: { output: outputOption, 'no-trunc': { kind: 'flag', help: 'show commands in full' } },
  operands: { min: 1, max: 1 },
  examples: ['coracle history app:1', 'coracle history --no-trunc docker://registry.k8s.io/pause:3.10'],
  async run(context, options, [name = '']) {
    const entries = await imageHistory(context, name)
    if (options.output === 'json' || options.output === 'yaml')
      return printStructured(context.out, options.output, [...entries]).then(() => undefined)
    const cut = (text: string) =>
      options['no-trunc'] || text.length <= shownCharacters ? text : `${text.slice(0, shownCharacters - 1)}…`
    const rows = entries.map(({ created, createdBy, sizeBytes, comment }) => [
      created === '' ? '-' : created.slice(0, 19),
      cut(createdBy),
      formatBytes(BigInt(sizeBytes)),
      cut(comment),
    ])
    context.out.write(renderTable(['CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows))
  },
})
