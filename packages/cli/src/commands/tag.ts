import { Moving } from '@coracle/cri-api/moving'
import { defineCommand } from '../command.ts'

export const command = defineCommand({
  name: 'tag',
  summary: 'Give an image of the store more names',
  usage: 'tag IMAGE NAME…',
  options: {},
  operands: { min: 2 },
  examples: ['coracle tag app:1 example.org/app:latest'],
  async run(context, _options, [image = '', ...names]) {
    for (const name of names) await context.imageClient.service(Moving).tagImage({ image, name })
  },
})
