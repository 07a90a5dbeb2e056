// From a manifest and a config to an image in the store: its layers unpacked side by side, then recorded. Where they come from does
// not matter: each is checked against its digests.
import { CodedError } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import type { Digest, ImageId } from '@coracle/oci-spec/digest'
import type { Descriptor, ImageConfig, Platform } from '@coracle/oci-spec/image'
import { parseImageConfig } from '@coracle/oci-spec/image-config'
import { normalisePlatform } from '@coracle/oci-spec/platform'
import type { LayerProgress } from './images.ts'
import { mendDirectories } from './implied-directories.ts'
import { ensureLayers } from './layer-set.ts'
import type { Layers, LayersDeps } from './layers.ts'
import type { RegistrySource } from './registry/client.ts'
import type { ResolvedManifest } from './registry/manifests.ts'
import type { ImageName } from './store/index.ts'
import { keyOver, type LayerKey } from './store/layer-key.ts'
import { leaseLayers } from './store/store.ts'

export interface InstallRequest {
  readonly id: ImageId
  readonly resolved: Omit<ResolvedManifest, 'topDigest'>
  readonly rawConfig: Buffer
  readonly platform: Platform
  /** Where layers are downloaded from. */
  readonly source: RegistrySource
  /** Blobs that are on disk already: names below the staging directory. */
  readonly spooled?: ReadonlyMap<Digest, string>
  readonly names: readonly ImageName[]
  readonly tell: (layers: readonly LayerProgress[]) => void
}

export async function installImage(
  { store, settings, layers }: LayersDeps & { readonly layers: Layers },
  request: InstallRequest,
  caller: AbortSignal,
): Promise<void> {
  const { id, resolved, rawConfig } = request
  const { manifest } = resolved
  const config = parseImageConfig(rawConfig)
  checkConfig(config, manifest.layers, request.platform)
  const { diffIds } = config
  using _lease = leaseLayers(store, [...diffIds, ...diffIds.map((_diffId, i) => keyOver(diffIds, i))])
  const keys = await ensureLayers({ store, settings, layers }, { ...request, diffIds }, caller)
  const mended = await mendDirectories(store, keys)
  using _mended = leaseLayers(store, mended)
  caller.throwIfAborted()
  const sizeBytes = manifest.config.size + manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
  const image = {
    id,
    manifestDigest: resolved.manifestDigest,
    config,
    sizeBytes,
    layers: [...stackOf(keys), ...mended],
  }
  await failpoint('image.pull.layers')
  store.index.addImage({ image, rawConfig, rawManifest: resolved.rawManifest }, request.names)
}

// Overlay takes each directory once. A layer that comes again hides all that it did before: its last place counts.
const stackOf = (keys: readonly LayerKey[]): readonly LayerKey[] => keys.filter((key, i) => keys.lastIndexOf(key) === i)

function checkConfig(config: ImageConfig, layers: readonly Descriptor[], wanted: Platform): void {
  if (config.diffIds.length !== layers.length)
    throw new CodedError('invalid_argument', `rootfs.diff_ids has ${config.diffIds.length} entries for ${layers.length} layers`)
  if (layers.length === 0) throw new CodedError('invalid_argument', 'image has no layers: nothing in it could run')
  const { os } = normalisePlatform(config.platform)
  if (os !== wanted.os) throw new CodedError('failed_precondition', `image is for ${os}, not for ${wanted.os}`)
}
