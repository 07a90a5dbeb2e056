import { invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { OciRuntime } from '@coracle/oci-runtime'
import type { Services } from './services.ts'

/** The runtime for a request's handler name. Throws `invalid_argument` naming those there are. */
export function runtimeFor(services: Services, handler: string): OciRuntime {
  const runtime = services.runtimes.get(handler === '' ? services.settings.defaultRuntime : handler)
  if (runtime === undefined) {
    throw invalid(
      `runtime_handler ${quote(handler)} is not configured: expected one of ${[...services.runtimes.keys()].join(', ')}`,
    )
  }
  return runtime
}

/** The runtime something was made with, be it configured still or not. Throws `failed_precondition` when nobody knows it. */
export function runtimeOf(services: Services, thing: { readonly runtime: string }): OciRuntime {
  const runtime = services.runtimes.get(thing.runtime) ?? services.retiredRuntimes.get(thing.runtime)
  if (runtime === undefined) throw precondition(`runtime handler ${quote(thing.runtime)} is no longer configured`)
  return runtime
}

/** Whether the configuration still has the handler of a pod. */
export const isConfigured = (services: Services, thing: { readonly runtime: string }): boolean =>
  services.runtimes.has(thing.runtime)
