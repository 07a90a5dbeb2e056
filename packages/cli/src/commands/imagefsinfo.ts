import { type FilesystemUsage, ImageFsInfoResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { inspectOutputOption, templateOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable } from '../print/table.ts'
import { renderTemplate } from '../print/template.ts'
import { formatBytes } from '../quantities.ts'

export const command = defineCommand({
  name: 'imagefsinfo',
  summary: 'Show the space images take',
  usage: 'imagefsinfo [options]',
  description: 'JSON unless -o asks for something else.',
  options: { output: inspectOutputOption, template: templateOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle imagefsinfo -o table'],
  async run({ image, out }, options) {
    const reply = await image.imageFsInfo({})
    if (options.output !== 'table') {
      const value = { status: messageToJson(ImageFsInfoResponseSchema, reply) }
      if (options.output === 'go-template' || options.template !== undefined)
        return void out.line(renderTemplate(options.template ?? '', value))
      return void (await printStructured(out, options.output ?? 'json', value))
    }
    const row = (kind: string) => (usage: FilesystemUsage) => [
      usage.fsId?.mountpoint ?? '',
      kind,
      formatBytes(usage.usedBytes?.value ?? 0n),
      String(usage.inodesUsed?.value ?? 0n),
    ]
    out.write(
      renderTable(
        ['DIRECTORY', 'HOLDS', 'USED', 'INODES'],
        [...reply.imageFilesystems.map(row('images')), ...reply.containerFilesystems.map(row('containers'))],
      ),
    )
  },
})
