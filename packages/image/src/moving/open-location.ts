// From a location to the thing that reads or writes there. The store is not among them: whoever knows it hands it in.
import { nameOf, parseReference, taggedName } from '@coracle/oci-spec/reference'
import { archiveFiles } from './archive-files.ts'
import { directoryDestination, directorySource } from './directory.ts'
import { archivedImages, chooseArchived, dockerArchiveSource } from './docker-archive.ts'
import { DockerArchive } from './docker-archive-writer.ts'
import type { ImageDestination, ImageSource } from './image-transfer.ts'
import { directoryFiles } from './layout-files.ts'
import type { Location } from './location.ts'
import { OciArchive } from './oci-archive.ts'
import { ociDirectoryDestination } from './oci-directory.ts'
import { layoutSource } from './oci-layout.ts'
import type { RegistryAccess } from './registry-access.ts'
import { openRegistrySource } from './registry-reading.ts'
import { openRegistryDestination } from './registry-writing.ts'

export type OuterLocation = Exclude<Location, { kind: 'store' }>

/** Throws what is wrong with the place; `not_found` when it does not hold the image. */
export async function openSource(location: OuterLocation, access: RegistryAccess, signal: AbortSignal): Promise<ImageSource> {
  switch (location.kind) {
    case 'docker':
      return openRegistrySource(location.reference, access)
    case 'dir':
      return directorySource(location.path)
    case 'oci':
      return layoutSource(directoryFiles(location.path), describe(location), location.name)
    case 'oci-archive':
      return layoutSource(await archiveFiles(location.path, signal), describe(location), location.name)
    case 'docker-archive': {
      const files = await archiveFiles(location.path, signal)
      try {
        const name = describe(location)
        return await dockerArchiveSource(files, { name, image: chooseArchived(await archivedImages(files), name, location.name) })
      } catch (err) {
        await files[Symbol.asyncDispose]()
        throw err
      }
    }
    default:
      return location satisfies never
  }
}

export async function openDestination(location: OuterLocation, access: RegistryAccess): Promise<ImageDestination> {
  switch (location.kind) {
    case 'docker':
      return openRegistryDestination(location.reference, access)
    case 'dir':
      return directoryDestination(location.path)
    case 'oci':
      return ociDirectoryDestination(location.path, describe(location), location.name)
    case 'oci-archive': {
      const archive = await OciArchive.open(location.path)
      return alone(archive, archive.image(describe(location), location.name))
    }
    case 'docker-archive': {
      const archive = await DockerArchive.open(location.path)
      return alone(archive, archive.image(describe(location), location.name === undefined ? [] : [repoTag(location.name)]))
    }
    default:
      return location satisfies never
  }
}

/** The name with its tag, as `docker load` takes it. Throws `invalid_argument` for a name with a digest. */
export function repoTag(name: string): string {
  const reference = parseReference(name)
  return taggedName(reference) ?? `${nameOf(reference)}:latest`
}

const describe = (location: Extract<OuterLocation, { path: string }>): string => `${location.kind}:${location.path}`

interface Archive extends AsyncDisposable {
  commit(signal: AbortSignal): Promise<void>
}

// An archive of one image ends with it.
const alone = (archive: Archive, image: ImageDestination): ImageDestination => ({
  ...image,
  commit: (signal) => archive.commit(signal),
  [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose](),
})
