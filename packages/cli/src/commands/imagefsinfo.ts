import { type FilesystemUsage, ImageFsInfoResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

export const command = defineCommand({
  name: 'imagefsinfo',
  summary: 'Show the space images take',
  usage: 'imagefsinfo [options]',
  description: 'JSON unless -o asks for something else.',
  options: { output: outputOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle imagefsinfo -o table'],
  async run({ image, out }, options) {
    const reply = await image.imageFsInfo({})
    if (options.output !== 'table')
      return void (await printStructured(out, options.output ?? 'json', {
        status: messageToJson(ImageFsInfoResponseSchema, reply),
      }))
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
