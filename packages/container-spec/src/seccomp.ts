// Which seccomp filter a container gets, from the CRI's profile or its deprecated text form.

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxContainerSecurityContext } from '@coracle/cri-api'
import type { Seccomp } from '@coracle/oci-spec/runtime-spec'
import { seccompAnnotation } from './seccomp-annotation.ts'
import { defaultSeccomp } from './seccomp-default.ts'
import { type Profile, parseProfile } from './security-profile.ts'
import type { SpecInput } from './spec-input.ts'

const field = 'config.linux.security_context.seccomp'

/** What was asked for; unset is the caller's default. Throws `invalid_argument` for an unknown or empty profile (CVE-2023-2431). */
export function seccompProfileOf(security: LinuxContainerSecurityContext | undefined): Profile | undefined {
  const profile = parseProfile(field, security?.seccomp, security?.seccompProfilePath ?? '')
  if (profile?.kind === 'localhost' && (!profile.ref.startsWith('/') || profile.ref.split('/').includes('..')))
    throw invalid(`${field}.localhost_ref ${quote(profile.ref)} must be an absolute path without ".."`)
  return profile
}

export interface SeccompPlan {
  /** Undefined: no filter. */
  readonly filter: Seccomp | undefined
  /** For runtimes that take the filter ready made (`SpecInput.compiledSeccomp`). */
  readonly annotations: Readonly<Record<string, string>>
}

const noFilter: SeccompPlan = { filter: undefined, annotations: {} }

/** The filter for a process with these capabilities. Privileged containers have none. */
export function planSeccomp(input: SpecInput, capabilities: readonly string[]): SeccompPlan {
  const security = input.config.linux?.securityContext
  const profile: Profile = seccompProfileOf(security) ?? { kind: input.unsetSeccomp ?? 'runtimeDefault' }
  if (security?.privileged === true || profile.kind === 'unconfined') return noFilter
  if (!input.host.seccomp)
    throw new CodedError('failed_precondition', `${field}: this kernel has no seccomp filters; ask for Unconfined to run without`)
  if (profile.kind === 'runtimeDefault') {
    const annotations = input.compiledSeccomp === true ? seccompAnnotation(capabilities) : {}
    return { filter: defaultSeccomp(capabilities), annotations }
  }
  if (input.localhostSeccomp === undefined) throw invalid(`${field}.localhost_ref ${quote(profile.ref)}: no such profile`)
  return { filter: input.localhostSeccomp, annotations: {} }
}
