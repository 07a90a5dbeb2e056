// A registry as a copy needs it: whom to ask, and with what.
import { cleanupSignal } from '@coracle/base/signals'
import type { Processes } from '@coracle/host'
import type { Reference } from '@coracle/oci-spec/reference'
import type { Credentials } from '../images.ts'
import type { RegistrySource } from '../registry/client.ts'
import type { RegistriesConfig } from '../registry/endpoints.ts'
import { usualRegistryFiles } from '../registry/files/registry-files.ts'
import { Registries } from '../registry/registries.ts'

export interface RegistryAccess {
  /** Default: what the files at their usual places say. */
  readonly registries?: RegistriesConfig
  readonly credentials?: Credentials
  /** Plain HTTP is allowed for the registry itself. */
  readonly insecure?: boolean
  /** Runs credential helpers that the files name, as `registries.helpers` says. Without it none is run: what needs one is refused. */
  readonly processes?: Pick<Processes, 'run'>
}

const noProcesses: Pick<Processes, 'run'> = { run: () => Promise.reject(new Error('no program is run here')) }

const stallTimeoutMs = 60_000
const retryBaseMs = 500

/** `toPush`: only the registry itself, never a mirror. Throws `invalid_argument` when the registry is blocked. */
export async function registrySource(
  reference: Pick<Reference, 'registry' | 'repository'>,
  { registries = { files: usualRegistryFiles }, credentials, insecure, processes = noProcesses }: RegistryAccess,
  toPush = false,
): Promise<RegistrySource> {
  const insecureHosts = [...(registries.insecureHosts ?? []), ...(insecure ? [reference.registry] : [])]
  const config = { ...registries, insecureHosts }
  const known = new Registries({ config: () => config, processes, stallTimeoutMs, retryBaseMs })
  // Whoever brings credentials does not want to be asked for others.
  const plan = await known.plan(reference, { offline: processes === noProcesses || credentials !== undefined }, cleanupSignal())
  const itself = plan.endpoints.filter(({ role }) => role === 'registry').slice(0, 1)
  return known.sourceOf({ ...plan, endpoints: toPush ? itself : plan.endpoints }, credentials)
}
