// CRI mounts whose source is an image (KEP-4639): the image's layers, mounted for this container, bound read-only.
import { failed, invalid, notFound } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Mount } from '@coracle/cri-api'
import type { HeldPath } from '@coracle/host'
import type { ImageId } from '@coracle/oci-spec/digest'
import type { Container } from '../model/container.ts'
import type { Pod } from '../model/pod.ts'
import { podIdmap } from '../pod/user-namespace.ts'
import { containerLabels, mountLabel } from '../selinux/labels.ts'
import type { Services } from '../services.ts'
import type { HeldSources } from './held-sources.ts'

/** kubelet counts failures that begin so. */
const failure = 'ImageVolumeMountFailed'

const keyOf = (containerId: string, index: number): string => `${containerId}.${index}`

export interface ImageVolumes {
  /** The directory of each, by container path as sent. */
  readonly sources: ReadonlyMap<string, string>
  /** By the mount's position. */
  readonly images: Readonly<Record<number, ImageId>>
}

/** Mounts the images that a container's mounts name; `held` gets what is to be seen of them, opened. Undone by `removeImageVolumes`. */
export async function mountImageVolumes(
  services: Services,
  pod: Pod,
  { container, held }: { readonly container: Container; readonly held: HeldSources },
): Promise<ImageVolumes> {
  const { id, config } = container
  const sources = new Map<string, string>()
  const images: Record<number, ImageId> = {}
  for (const [index, mount] of config.mounts.entries()) {
    const name = mount.image?.image ?? ''
    if (name === '') continue
    const field = `config.mounts[${index}]`
    if (!mount.readonly) throw invalid(`${failure}: ${field}.readonly must be true: an image cannot be written to`)
    const image = services.images.find(name)
    if (image === undefined) throw notFound(`${failure}: ${field}.image ${quote(name)} is not present: pull it first`)
    const label = containerLabels(services, pod, config)
    const request = { key: keyOf(id, index), image: image.id, ...mountLabel(label), ...podIdmap(services, pod) }
    const rootfs = await services.images.createRootfs(request, services.shutdown)
    images[index] = image.id
    const place = subPath(services, { field, root: rootfs.path, mount })
    held.add(place)
    sources.set(mount.containerPath, place.path)
  }
  return { sources, images }
}

// A link in a hostile image could lead anywhere on the host, where the runtime resolves the path: none is followed.
function subPath(services: Services, { field, root, mount }: { field: string; root: string; mount: Mount }): HeldPath {
  const parts = mount.imageSubPath.split('/').filter((part) => part !== '' && part !== '.')
  const named = `${failure}: ${field}.image_sub_path ${quote(mount.imageSubPath)}`
  if (parts.includes('..')) throw invalid(`${named} must not contain ".."`)
  let place: HeldPath | undefined
  try {
    place = services.host.paths.holdBeneath(root, parts.join('/'))
  } catch (err) {
    throw failed(named, err)
  }
  if (place === undefined) throw notFound(`${named} does not exist in the image`)
  return place
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
