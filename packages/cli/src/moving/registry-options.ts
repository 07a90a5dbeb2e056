// How the commands that move images reach registries, as options.
import type { RegistryAccess } from '@coracle/image/moving'
import { UsageError } from '../usage-error.ts'

export const sourceOptions = {
  'src-creds': { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry that is read' },
  'src-plain-http': { kind: 'flag', help: 'the registry that is read speaks plain HTTP' },
} as const

export const destinationOptions = {
  'dest-creds': { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry that is written' },
  'dest-plain-http': { kind: 'flag', help: 'the registry that is written speaks plain HTTP' },
} as const

export const registryOptions = {
  creds: { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry' },
  'plain-http': { kind: 'flag', help: 'the registry speaks plain HTTP' },
} as const

/** @throws UsageError for credentials without a colon. */
export function accessOf(name: string, creds: string | undefined, plainHttp: boolean): RegistryAccess {
  const insecure = plainHttp ? { insecure: true } : {}
  if (creds === undefined) return insecure
  const colon = creds.indexOf(':')
  if (colon < 1) throw new UsageError(`option --${name} expects USER:PASSWORD`)
  return { ...insecure, credentials: { username: creds.slice(0, colon), password: creds.slice(colon + 1) } }
}
