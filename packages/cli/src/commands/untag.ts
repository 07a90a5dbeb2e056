import { Moving } from '@coracle/cri-api/moving'
import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'

export const command = defineCommand({
  name: 'untag',
  summary: 'Take names of images away, and keep the images',
  usage: 'untag NAME|ID…',
  description: 'A name is taken away; an id loses all its names. rmi removes images.',
  options: {},
  operands: { min: 1 },
  examples: ['coracle untag example.org/app:latest'],
  run: (context, _options, images) =>
    forEachTarget(context, images, async (image) => {
      const { removed } = await context.imageClient.service(Moving).untagImage({ image })
      for (const name of removed) context.out.line(`Untagged: ${name}`)
    }),
})
