// Images of an archive into the store. An archive that is an image layout keeps its manifests; else one of `docker save` is expected.
import { CodedError } from '@coracle/base/errors'
import {
  type ArchiveFiles,
  archivedImages,
  archiveFiles,
  copyImage,
  dockerArchiveSource,
  type ImageSource,
  layoutEntries,
  layoutSource,
  refNameOf,
} from '@coracle/image/moving'
import type { Descriptor, Platform } from '@coracle/oci-spec/image'
import { parseReference } from '@coracle/oci-spec/reference'
import type { Context } from '../context.ts'
import { withProgress } from './copy-progress.ts'
import { openStoreDestination } from './store-destination.ts'

export type LoadRequest = {
  /** `-`: standard input. */
  readonly path: string
  /** For the one image of the archive. */
  readonly tags: readonly string[]
  /** The names that the archive gives are given to the images. */
  readonly archiveNames: boolean
  readonly platform: Platform
  readonly quiet: boolean
}

export type Loaded = { readonly id: string; readonly names: readonly string[]; readonly offered: readonly string[] }

type Found = {
  readonly source: ImageSource
  /** Names that the archive gives. */
  readonly offered: readonly string[]
}

/** Each as soon as it is in the store: one that cannot be loaded does not take those before it back. */
export async function* loadImages(context: Context, request: LoadRequest): AsyncGenerator<Loaded> {
  const signal = context.interruption()
  await using files = await archiveFiles(request.path, signal)
  const isLayout = files.has('oci-layout') && files.has('index.json')
  const transport = isLayout ? 'oci-archive' : 'docker-archive'
  const found = isLayout ? await imagesOfLayout(files) : await imagesOfDocker(files)
  if (request.tags.length > 0 && found.length !== 1)
    throw new CodedError('invalid_argument', `--tag is for an archive of one image, this one has ${found.length}`)
  for (const { source, offered } of found) {
    const names = [...request.tags, ...(request.archiveNames ? offered : [])]
    const title = `loading ${names[0] ?? source.name}`
    const id = await withProgress(context, { title, quiet: request.quiet, lines: true }, async ({ hooks, follow }) => {
      const what = { names, transport, command: 'load', from: source.name, onUnpacking: follow }
      await using destination = await openStoreDestination(context, what, signal)
      await copyImage({ source, destination, platform: request.platform, ...hooks }, signal)
      return destination.imageId()
    })
    yield { id, names, offered }
  }
}

async function imagesOfDocker(files: ArchiveFiles): Promise<readonly Found[]> {
  const images = await archivedImages(files)
  return Promise.all(
    images.map(async (image, i) => ({
      source: await dockerArchiveSource(files, { name: `docker-archive:${files.place}:@${i}`, image }),
      offered: image.repoTags.filter(isName),
    })),
  )
}

// containerd and Docker write the whole name beside the short one.
const wholeNames = ['io.containerd.image.name', 'com.docker.image.name']

async function imagesOfLayout(files: ArchiveFiles): Promise<readonly Found[]> {
  const entries = await layoutEntries(files)
  return entries.map((entry) => ({
    source: layoutSource(files, `oci-archive:${files.place}`, entry.digest),
    offered: namesOf(entry).filter(isName),
  }))
}

function namesOf(entry: Descriptor): readonly string[] {
  const whole = wholeNames.map((key) => entry.annotations?.[key]).find((name) => name !== undefined)
  const name = whole ?? refNameOf(entry)
  // A bare tag names no image.
  return name?.includes('/') || name?.includes(':') ? [name] : []
}

function isName(text: string): boolean {
  try {
    return parseReference(text).digest === undefined
  } catch {
    // What cannot be a name is not offered.
    return false
  }
}
