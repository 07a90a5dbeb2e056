// Which digest a reference stands for now, by HEAD: registries that count pulls count manifests that are sent.
import { type Digest, isDigest } from '@coracle/oci-spec/digest'
import { acceptedManifests } from '@coracle/oci-spec/media-type'
import type { Reference } from '@coracle/oci-spec/reference'
import type { RegistryClient } from './client.ts'
import { isUnavailable, RegistryError } from './errors.ts'

/**
 * The digest that a registry gives; undefined: it does not say, and GET will tell why. Only its word, as no bytes prove it.
 * Throws RegistryError where no host can be reached: asking again would not help.
 */
export async function askDigest(client: RegistryClient, reference: Reference, signal: AbortSignal): Promise<Digest | undefined> {
  const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`
  try {
    const { response } = await client.get({ path, method: 'HEAD', headers: { accept: acceptedManifests }, signal })
    response.resume()
    const claimed = response.headers['docker-content-digest']
    return typeof claimed === 'string' && isDigest(claimed) ? claimed : undefined
  } catch (err) {
    signal.throwIfAborted()
    if (err instanceof RegistryError && !isUnavailable(err)) return undefined
    throw err
  }
}
