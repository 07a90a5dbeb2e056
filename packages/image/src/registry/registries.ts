// All that this program knows about registries: the operator's configuration, credentials, tokens that are still good.
import { CodedError } from '@coracle/base/errors'
import type { Processes } from '@coracle/host'
import type { Reference } from '@coracle/oci-spec/reference'
import type { Credentials } from '../images.ts'
import { createRegistryClient, type RegistryClient, type RegistrySource } from './client.ts'
import type { HelperSettings } from './credential-helper.ts'
import type { RegistriesConfig } from './endpoints.ts'
import { RegistryFiles } from './files/registry-files.ts'
import { type PullPlan, planPull } from './plan.ts'
import { candidatesOf, type NameCandidate } from './short-names.ts'
import { TokenCache } from './token-cache.ts'

export interface RegistriesOptions {
  /** Asked anew for each pull: it changes at a reload. */
  readonly config: () => RegistriesConfig
  readonly processes: Pick<Processes, 'run'>
  readonly stallTimeoutMs: number
  readonly retryBaseMs: number
}

const defaultHelpers: HelperSettings = { directories: ['/usr/local/bin', '/usr/bin'], timeoutMs: 30_000, environment: {} }

export class Registries {
  readonly #options: RegistriesOptions
  readonly #files: RegistryFiles
  readonly #tokens = new TokenCache()

  constructor(options: RegistriesOptions) {
    this.#options = options
    this.#files = new RegistryFiles(() => options.config().files ?? {})
  }

  /** What a name may mean, in the order to try. Throws `invalid_argument`, or `failed_precondition` for a file that never was right. */
  candidates(name: string): readonly NameCandidate[] {
    return candidatesOf(name, this.#files.registriesConf().value)
  }

  /** The endpoints for a reference and why they are these. With `offline` no credential helper is run. Throws as planPull does. */
  plan(reference: Reference, { offline }: { readonly offline?: boolean }, signal: AbortSignal): Promise<PullPlan> {
    const config = this.#options.config()
    const programs = offline ? undefined : { processes: this.#options.processes, settings: config.helpers ?? defaultHelpers }
    return planPull({ files: this.#files, config, credentials: { programs } }, reference, signal)
  }

  /** Plain data for a client, here or in the worker. */
  sourceOf(plan: PullPlan, credentials: Credentials | undefined): RegistrySource {
    const { stallTimeoutMs, retryBaseMs, config } = this.#options
    const { proxies } = config()
    if (plan.endpoints.length === 0)
      throw new CodedError('failed_precondition', `no host is configured to serve ${plan.reference.registry}`)
    return {
      endpoints: plan.endpoints.map(({ endpoint }) => endpoint),
      repository: plan.reference.repository,
      registries: { insecureHosts: plan.insecureHosts },
      stallTimeoutMs,
      retryBaseMs,
      ...(credentials === undefined ? {} : { credentials }),
      ...(plan.tls === undefined ? {} : { tls: plan.tls }),
      ...(proxies === undefined ? {} : { proxies }),
    }
  }

  /** With the tokens that are still good. */
  client(source: RegistrySource): RegistryClient {
    return createRegistryClient(source, { tokens: this.#tokens })
  }

  /** What is wrong with the files as they are; empty: nothing. */
  check(): readonly string[] {
    return this.#files.check()
  }
}
