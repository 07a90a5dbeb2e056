// A registry as a copy needs it: whom to ask, and with what.
import type { Reference } from '@coracle/oci-spec/reference'
import type { Credentials } from '../images.ts'
import { loadAuthorities } from '../registry/authorities.ts'
import type { RegistrySource } from '../registry/client.ts'
import { endpointsOf, type RegistriesConfig } from '../registry/endpoints.ts'

export interface RegistryAccess {
  readonly registries?: RegistriesConfig
  readonly credentials?: Credentials
  /** Plain HTTP is allowed for the registry itself. */
  readonly insecure?: boolean
}

const stallTimeoutMs = 60_000
const retryBaseMs = 500

/** `toPush`: only the registry itself, never a mirror. Throws `invalid_argument` when the registry is blocked. */
export async function registrySource(
  reference: Pick<Reference, 'registry' | 'repository'>,
  { registries = {}, credentials, insecure }: RegistryAccess,
  toPush = false,
): Promise<RegistrySource> {
  const insecureHosts = [...(registries.insecureHosts ?? []), ...(insecure ? [reference.registry] : [])]
  const config = { ...registries, insecureHosts }
  const endpoints = endpointsOf(reference.registry, config).filter(({ isOrigin }) => isOrigin || !toPush)
  const tls = await loadAuthorities(endpoints, config)
  return {
    endpoints,
    repository: reference.repository,
    registries: { insecureHosts },
    stallTimeoutMs,
    retryBaseMs,
    ...(credentials === undefined ? {} : { credentials }),
    ...(tls === undefined ? {} : { tls }),
  }
}
