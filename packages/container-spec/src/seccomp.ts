// Which seccomp filter a container gets, from the CRI's profile or its deprecated text form.

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxContainerSecurityContext } from '@coracle/cri-api'
import type { Seccomp } from '@coracle/oci-spec/runtime-spec'
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

/** The filter for a process with these capabilities; undefined: none. Privileged containers have none. */
export function seccompFilter(input: SpecInput, capabilities: readonly string[]): Seccomp | undefined {
  const security = input.config.linux?.securityContext
  const profile: Profile = seccompProfileOf(security) ?? { kind: input.unsetSeccomp ?? 'runtimeDefault' }
  if (security?.privileged === true || profile.kind === 'unconfined') return undefined
  if (!input.host.seccomp)
    throw new CodedError('failed_precondition', `${field}: this kernel has no seccomp filters; ask for Unconfined to run without`)
  if (profile.kind === 'runtimeDefault') return defaultSeccomp(capabilities)
  if (input.localhostSeccomp === undefined) throw invalid(`${field}.localhost_ref ${quote(profile.ref)}: no such profile`)
  return input.localhostSeccomp
}
