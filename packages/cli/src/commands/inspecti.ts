import { notFound } from '@coracle/base/errors'
import { ImageSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { printInspected } from '../print/inspect.ts'
import { inspectOutputOption, templateOption } from '../print/output-options.ts'
import { messageToJson } from '../print/structured.ts'
import { formatBytes } from '../quantities.ts'

export const command = defineCommand({
  name: 'inspecti',
  summary: 'Show everything about images',
  usage: 'inspecti [options] IMAGE…',
  options: {
    output: inspectOutputOption,
    template: templateOption,
    quiet: { kind: 'flag', short: 'q', help: 'without the runtime’s own information' },
  },
  operands: { min: 1 },
  examples: ['coracle inspecti busybox:1', "coracle inspecti -o go-template --template '{{.status.id}}' busybox:1"],
  async run(context, options, names) {
    const inspected = []
    for (const name of names) {
      const { image, info } = await context.image.imageStatus({ image: { image: name }, verbose: !options.quiet })
      if (!image) throw notFound(`no image "${name}": coracle images lists them`)
      inspected.push({
        status: messageToJson(ImageSchema, image),
        info,
        rows: [
          ['ID', image.id] as const,
          ...image.repoTags.map((tag) => ['Tag', tag] as const),
          ...image.repoDigests.map((digest) => ['Digest', digest] as const),
          ['Size', formatBytes(image.size)] as const,
        ],
      })
    }
    await printInspected(context.out, inspected, options)
  },
})
