// Locations of a command line, opened: registries, directories and archives by this process, the store through the daemon.
import { CodedError } from '@coracle/base/errors'
import {
  type ImageDestination,
  type ImageSource,
  type Location,
  openDestination,
  openSource,
  type RegistryAccess,
} from '@coracle/image/moving'
import type { Context } from '../context.ts'

export type Opening = { readonly access: RegistryAccess; readonly signal: AbortSignal }

export async function openFrom(_context: Context, location: Location, { access, signal }: Opening): Promise<ImageSource> {
  if (location.kind === 'store') throw new CodedError('unimplemented', 'copying from the store')
  return openSource(location, access, signal)
}

export async function openTo(_context: Context, location: Location, { access }: Opening): Promise<ImageDestination> {
  if (location.kind === 'store') throw new CodedError('unimplemented', 'copying to the store')
  return openDestination(location, access)
}
