// CRI mounts whose source is an image (KEP-4639): the image's layers, mounted for this container, bound read-only.
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Mount } from '@coracle/cri-api'
import type { ImageId } from '@coracle/oci-spec/digest'
import type { Container } from '../model/container.ts'
import type { Pod } from '../model/pod.ts'
import { podIdmap } from '../pod/user-namespace.ts'
import { containerLabels, mountLabel } from '../selinux/labels.ts'
import type { Services } from '../services.ts'

/** kubelet counts failures that begin so. */
const failure = 'ImageVolumeMountFailed'

const keyOf = (containerId: string, index: number): string => `${containerId}.${index}`

export interface ImageVolumes {
  /** The directory of each, by container path as sent. */
  readonly sources: ReadonlyMap<string, string>
  /** By the mount's position. */
  readonly images: Readonly<Record<number, ImageId>>
}

/** Mounts the images that a container's mounts name. Undone by `removeImageVolumes`. */
export async function mountImageVolumes(services: Services, pod: Pod, { id, config }: Container): Promise<ImageVolumes> {
  const sources = new Map<string, string>()
  const images: Record<number, ImageId> = {}
  for (const [index, mount] of config.mounts.entries()) {
    const name = mount.image?.image ?? ''
    if (name === '') continue
    const field = `config.mounts[${index}]`
    if (!mount.readonly) throw invalid(`${failure}: ${field}.readonly must be true: an image cannot be written to`)
    const image = services.images.find(name)
    if (image === undefined)
      throw new CodedError('not_found', `${failure}: ${field}.image ${quote(name)} is not present: pull it first`)
    const label = containerLabels(services, pod, config)
    const request = { key: keyOf(id, index), image: image.id, ...mountLabel(label), ...podIdmap(services, pod) }
    const rootfs = await services.images.createRootfs(request, services.shutdown)
    images[index] = image.id
    sources.set(mount.containerPath, subPath(field, rootfs.path, mount))
  }
  return { sources, images }
}

// A link in a hostile image could lead anywhere on the host, where the runtime resolves the path: none is followed.
function subPath(field: string, root: string, mount: Mount): string {
  const parts = mount.imageSubPath.split('/').filter((part) => part !== '' && part !== '.')
  let path = root
  for (const part of parts) {
    if (part === '..') throw invalid(`${failure}: ${field}.image_sub_path ${quote(mount.imageSubPath)} must not contain ".."`)
    path = join(path, part)
    const info = lstatOrAbsent(path)
    if (info === undefined)
      throw new CodedError(
        'not_found',
        `${failure}: ${field}.image_sub_path ${quote(mount.imageSubPath)} does not exist in the image`,
      )
    if (info.isSymbolicLink())
      throw invalid(`${failure}: ${field}.image_sub_path ${quote(mount.imageSubPath)} goes through a symbolic link of the image`)
  }
  return path
}

function lstatOrAbsent(path: string) {
  try {
    return lstatSync(path)
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined
    throw err
  }
}

const keysOf = (services: Services, containerId: string): string[] =>
  services.images.rootfsKeys().filter((key) => key.startsWith(`${containerId}.`))

export async function unmountImageVolumes(services: Services, containerId: string): Promise<void> {
  for (const key of keysOf(services, containerId)) await services.images.unmountRootfs(key)
}

/** Absent ones: succeeds. */
export async function removeImageVolumes(services: Services, containerId: string): Promise<void> {
  for (const key of keysOf(services, containerId)) await services.images.removeRootfs(key)
}

/** The container whose root file system or image volume a key names. */
export const ownerOf = (rootfsKey: string): string => rootfsKey.split('.')[0] ?? ''
