import { notFound } from '@coracle/base/errors'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { forEachTarget } from '../each.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'rmi',
  summary: 'Remove images',
  usage: 'rmi [options] IMAGE…',
  options: {
    all: { kind: 'flag', short: 'a', help: 'every image' },
    prune: { kind: 'flag', short: 'q', help: 'every image that no container uses and nobody pinned' },
  },
  operands: { min: 0 },
  examples: ['coracle rmi busybox:1', 'coracle rmi --prune'],
  async run(context, options, names) {
    if ([options.all, options.prune, names.length > 0].filter(Boolean).length !== 1)
      throw new UsageError('rmi takes either images, --all or --prune')
    const targets = names.length > 0 ? names : await listTargets(context, options.prune)
    return forEachTarget(context, targets, async (name) => {
      const { image } = await context.image.imageStatus({ image: { image: name } })
      if (!image) throw notFound(`no image "${name}": coracle images lists them`)
      await context.image.removeImage({ image: { image: names.length > 0 ? name : image.id } })
      // Some runtimes take away one tag, others the image with all its tags.
      const left = (await context.image.imageStatus({ image: { image: image.id } })).image?.repoTags
      const gone = image.repoTags.filter((tag) => !left?.includes(tag))
      for (const tag of gone.length > 0 ? gone : [image.id]) context.out.line(`Deleted: ${tag}`)
    })
  },
})

async function listTargets({ image, runtime }: Context, onlyUnused: boolean): Promise<string[]> {
  const { images } = await image.listImages({})
  if (!onlyUnused) return images.map(({ id }) => id)
  const { containers } = await runtime.listContainers({})
  const used = new Set(containers.flatMap((container) => [container.imageId, container.imageRef, container.image?.image ?? '']))
  return images
    .filter(
      ({ id, repoTags, repoDigests, pinned }) => !pinned && ![id, ...repoTags, ...repoDigests].some((name) => used.has(name)),
    )
    .map(({ id }) => id)
}
