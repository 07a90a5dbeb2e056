// Certificate authorities: the system's, and the operator's for single hosts. Read here, because the unpack worker cannot open a file.
import { readFile } from 'node:fs/promises'
import { CodedError } from '@coracle/base/errors'
import type { Endpoint, RegistriesConfig } from './endpoints.ts'
import { systemAuthorities, type TlsByHost } from './tls.ts'

/** PEM texts by host, `*` for all other hosts; undefined when no endpoint speaks TLS. Throws `failed_precondition` for an unreadable file. */
export async function loadAuthorities(endpoints: readonly Endpoint[], config: RegistriesConfig): Promise<TlsByHost | undefined> {
  if (endpoints.every((endpoint) => endpoint.insecure)) return undefined
  const byHost: Record<string, TlsByHost[string]> = { '*': { authorities: systemAuthorities() } }
  for (const { host } of endpoints) {
    const path = config.caFiles?.[host]
    if (path !== undefined) byHost[host] = { authorities: [await readAuthority(host, path)] }
  }
  return byHost
}

async function readAuthority(host: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (err) {
    throw new CodedError('failed_precondition', `read the certificate authority of registry ${host} from ${path}`, { cause: err })
  }
}
