// Locations of a command line, opened: registries, directories and archives by this process, the store through the daemon.
import {
  type ImageDestination,
  type ImageSource,
  type Location,
  openDestination,
  openSource,
  type RegistryAccess,
} from '@coracle/image/moving'
import type { Context } from '../context.ts'
import type { CopyView } from './copy-progress.ts'
import { openStoreDestination } from './store-destination.ts'
import { openStoreSource, type StoreSource } from './store-source.ts'

export type Opening = { readonly access: RegistryAccess; readonly signal: AbortSignal }

export type FromRequest = Opening & {
  /** Where it goes: layers that are there already need not be made. */
  readonly to: { readonly location: Location; readonly destination: ImageDestination }
  readonly preserveDigests: boolean
  readonly view: CopyView
}

export async function openFrom(context: Context, location: Location, request: FromRequest): Promise<ImageSource> {
  const { access, signal, to, preserveDigests, view } = request
  if (location.kind !== 'store') return openSource(location, access, signal)
  const source = await openStoreSource(
    context,
    {
      name: location.name,
      destination: to.destination,
      preserveDigests,
      doing: view.doing,
      toLayout: isLayout(to.location),
      // Such archives hold plain layers anyway.
      ...(to.location.kind === 'docker-archive' ? { compressor: 'none' as const } : {}),
    },
    signal,
  )
  if (to.location.kind !== 'docker-archive') tellChange(view, source)
  return source
}

export const isLayout = ({ kind }: Location): boolean => kind === 'oci' || kind === 'oci-archive'

/** Layers that are compressed anew have other digests: that is not kept quiet. */
export function tellChange({ note }: Pick<CopyView, 'note'>, { changes, image }: StoreSource): void {
  if (changes.length === 0) return
  note(`${changes.join('; ')}: image id ${image.id} stays, manifest ${image.manifestDigest} becomes another`)
}

export async function openTo(
  context: Context,
  location: Location,
  { access, signal, from, view }: Opening & { readonly from: Location & { readonly text: string }; readonly view: CopyView },
): Promise<ImageDestination> {
  if (location.kind === 'store') {
    const what = { names: [location.name], transport: from.kind, command: 'copy', from: from.text, onUnpacking: view.follow }
    return openStoreDestination(context, what, signal)
  }
  return openDestination(location, access)
}
