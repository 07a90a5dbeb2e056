// Certificate authorities: the system's, and the operator's for single hosts. Read here, because the unpack worker cannot open a file.
import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import { CodedError } from '@coracle/base/errors'
import type { Endpoint, RegistriesConfig } from './endpoints.ts'

/** PEM texts by host, `*` for all other hosts; undefined when no endpoint speaks TLS. Throws `failed_precondition` for an unreadable file. */
export async function loadAuthorities(
  endpoints: readonly Endpoint[],
  config: RegistriesConfig,
): Promise<Readonly<Record<string, readonly string[]>> | undefined> {
  if (endpoints.every((endpoint) => endpoint.insecure)) return undefined
  const system = systemAuthorities()
  const byHost: Record<string, readonly string[]> = { '*': system }
  for (const { host } of endpoints) {
    const path = config.caFiles?.[host]
    if (path !== undefined) byHost[host] = [...system, await readAuthority(host, path)]
  }
  return byHost
}

let cached: readonly string[] | undefined

function systemAuthorities(): readonly string[] {
  if (cached === undefined) {
    const system = getCACertificates('system')
    // A machine without any of its own still reaches public registries.
    cached = system.length > 0 ? system : getCACertificates('bundled')
  }
  return cached
}

async function readAuthority(host: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (err) {
    throw new CodedError('failed_precondition', `read the certificate authority of registry ${host} from ${path}`, { cause: err })
  }
}
