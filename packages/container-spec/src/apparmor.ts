// Which AppArmor profile a container gets (hazards H-34).
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseProfile } from './security-profile.ts'
import type { SpecInput } from './spec-input.ts'

const field = 'config.linux.security_context.apparmor'

/**
 * The profile's name; undefined: none. On a kernel without AppArmor RuntimeDefault means nothing and is accepted, a Localhost profile is
 * refused: it was named for a reason. Throws `failed_precondition` when the profile is not loaded.
 */
export function apparmorProfile(input: SpecInput): string | undefined {
  const security = input.config.linux?.securityContext
  const profile = parseProfile(field, security?.apparmor, security?.apparmorProfile ?? '')
  if (profile?.kind === 'unconfined') return undefined
  if (profile?.kind === 'localhost') {
    if (/[\s"]/.test(profile.ref)) throw invalid(`${field}.localhost_ref ${quote(profile.ref)} must not contain blanks or quotes`)
    if (!input.host.apparmor)
      throw new CodedError(
        'failed_precondition',
        `${field}: profile ${quote(profile.ref)} cannot be applied: this node has no AppArmor, or does not use it`,
      )
    return loaded(input, profile.ref)
  }
  if (!input.host.apparmor || security?.privileged === true || input.apparmor === undefined) return undefined
  return loaded(input, input.apparmor.defaultProfile)
}

function loaded(input: SpecInput, name: string): string {
  if (input.apparmor?.loaded.has(name) !== true)
    throw new CodedError('failed_precondition', `${field}: profile ${quote(name)} is not loaded on this node`)
  return name
}
