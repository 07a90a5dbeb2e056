// CRI's SecurityProfile message and the text form it replaced.

import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { SecurityProfile } from '@coracle/cri-api'
import { profileType } from './cri-values.ts'
import { checkBytes } from './paths.ts'

export type Profile =
  | { readonly kind: 'runtimeDefault' }
  | { readonly kind: 'unconfined' }
  | { readonly kind: 'localhost'; readonly ref: string }

/** The message wins over the text; undefined: neither is set. Absence of a policy's name is an error, never "unconfined" (hazards I9). */
export function parseProfile(field: string, message: SecurityProfile | undefined, text: string): Profile | undefined {
  if (message === undefined) return text === '' ? undefined : parseText(field, text)
  switch (message.profileType) {
    case profileType.runtimeDefault:
    case profileType.unconfined:
      if (message.localhostRef !== '') throw invalid(`${field}.localhost_ref is set, but its profile_type is not Localhost`)
      return { kind: message.profileType === profileType.unconfined ? 'unconfined' : 'runtimeDefault' }
    case profileType.localhost:
      return localhost(field, message.localhostRef)
    default:
      throw invalid(`${field}.profile_type ${String(message.profileType)} is unknown`)
  }
}

function parseText(field: string, text: string): Profile {
  if (text === 'unconfined') return { kind: 'unconfined' }
  if (text === 'runtime/default' || text === 'docker/default') return { kind: 'runtimeDefault' }
  if (text.startsWith('localhost/')) return localhost(field, text.slice('localhost/'.length))
  throw invalid(`${field} profile ${quote(text)} must be runtime/default, unconfined or localhost/NAME`)
}

function localhost(field: string, ref: string): Profile {
  if (ref === '') throw invalid(`${field}.localhost_ref must not be empty for a Localhost profile`)
  checkBytes(`${field}.localhost_ref`, ref)
  return { kind: 'localhost', ref }
}
