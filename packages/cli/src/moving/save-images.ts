// Images of the store into one archive or directory.
import { copyImage, DockerArchive, type ImageDestination, OciArchive, openDestination, repoTag } from '@coracle/image/moving'
import type { Context } from '../context.ts'
import { UsageError } from '../usage-error.ts'
import { withProgress } from './copy-progress.ts'
import { tellChange } from './open.ts'
import { openStoreSource } from './store-source.ts'

export const saveFormats = ['docker-archive', 'oci-archive', 'oci-dir', 'dir'] as const

export type SaveRequest = {
  readonly images: readonly string[]
  readonly format: (typeof saveFormats)[number]
  /** `-`: standard output. */
  readonly output: string
  readonly quiet: boolean
  readonly preserveDigests: boolean
}

type Target = AsyncDisposable & {
  image(name: string, tags: readonly string[]): Promise<ImageDestination>
  commit(signal: AbortSignal): Promise<void>
}

export async function saveImages(context: Context, request: SaveRequest): Promise<void> {
  const signal = context.interruption()
  if (request.format === 'dir' && request.images.length > 1) throw new UsageError('the format dir holds one image')
  await using target = await openTarget(request)
  for (const name of request.images) {
    const refName = /^(sha256:)?[0-9a-f]{12,64}$/.test(name) ? [] : [name]
    await withProgress(context, { title: `saving ${name}`, quiet: request.quiet, lines: true }, async (view) => {
      await using destination = await target.image(name, refName)
      const plain = request.format === 'docker-archive' ? { compressor: 'none' as const } : { toLayout: request.format !== 'dir' }
      const what = { name, destination, preserveDigests: request.preserveDigests, doing: view.doing, ...plain }
      await using source = await openStoreSource(context, what, signal)
      if (request.format !== 'docker-archive') tellChange(view, source)
      await copyImage({ source, destination, ...view.hooks }, signal)
    })
  }
  await target.commit(signal)
}

async function openTarget({ format, output }: SaveRequest): Promise<Target> {
  if (format === 'docker-archive') {
    const archive = await DockerArchive.open(output)
    return withImages(archive, async (name, tags) => archive.image(name, tags.map(repoTag)))
  }
  if (format === 'oci-archive') {
    const archive = await OciArchive.open(output)
    return withImages(archive, async (name, tags) => archive.image(name, tags[0]))
  }
  if (output === '-') throw new UsageError(`the format ${format} needs a directory: --output`)
  const kind = format === 'oci-dir' ? 'oci' : 'dir'
  const nothing = { commit: async () => {}, [Symbol.asyncDispose]: async () => {} }
  return withImages(nothing, async (_name, tags) => {
    const named = kind === 'oci' && tags[0] !== undefined ? { name: tags[0] } : {}
    return openDestination({ kind, path: output, ...named }, {})
  })
}

const withImages = (archive: Omit<Target, 'image'>, image: Target['image']): Target => ({
  image,
  commit: (signal) => archive.commit(signal),
  [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose](),
})
