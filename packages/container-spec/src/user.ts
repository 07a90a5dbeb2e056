// Who the container's process is: CRI's security context first, then the image's USER (image-spec config.md).

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxContainerSecurityContext } from '@coracle/cri-api'
import { groupsPolicy } from './cri-values.ts'
import { parseId } from './numbers.ts'
import { findUser, groupsOf, type PasswdEntry, parseDecimalId } from './passwd.ts'

export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  /** With the primary group first: a group left out would lift its negative permissions (CVE-2022-2995). */
  readonly supplementalGroups: readonly number[]
  /** The passwd entry's home directory; `/` without one. */
  readonly home: string
}

export interface UserInput {
  readonly security: LinuxContainerSecurityContext | undefined
  readonly imageUser: string
  readonly passwd: Buffer | undefined
  readonly group: Buffer | undefined
}

interface Primary {
  readonly uid: number
  readonly gid: number
  readonly entry: PasswdEntry | undefined
}

const field = 'config.linux.security_context'

/** Throws `invalid_argument` naming the field when a user or group does not exist or is out of range. */
export function resolveUser(input: UserInput): ResolvedUser {
  const primary = withGroup(input, primaryOf(input))
  const extra = (input.security?.supplementalGroups ?? []).map((gid, i) => parseId(`${field}.supplemental_groups[${i}]`, gid))
  const own = input.security?.supplementalGroupsPolicy === groupsPolicy.strict ? [] : memberships(input.group, primary.entry)
  return {
    uid: primary.uid,
    gid: primary.gid,
    supplementalGroups: [...new Set([primary.gid, ...own, ...extra])],
    home: primary.entry?.home.startsWith('/') === true ? primary.entry.home : '/',
  }
}

function primaryOf(input: UserInput): Primary {
  const { security } = input
  const byName = security?.runAsUsername ?? ''
  if (security?.runAsUser !== undefined) {
    if (byName !== '') throw invalid(`${field}.run_as_user and run_as_username must not both be set`)
    return byUid(input, parseId(`${field}.run_as_user`, security.runAsUser.value))
  }
  if (byName !== '') return parseUserPart(`${field}.run_as_username`, byName, input)
  if (security?.runAsGroup !== undefined) throw invalid(`${field}.run_as_group needs run_as_user or run_as_username`)
  return fromImage(input)
}

function withGroup(input: UserInput, primary: Primary): Primary {
  const group = input.security?.runAsGroup
  return group === undefined ? primary : { ...primary, gid: parseId(`${field}.run_as_group`, group.value) }
}

/** USER of an image: `user`, `uid`, each with `:group` or `:gid`; empty is root. */
function fromImage(input: UserInput): Primary {
  const colon = input.imageUser.indexOf(':')
  const userPart = colon < 0 ? input.imageUser : input.imageUser.slice(0, colon)
  const groupPart = colon < 0 ? '' : input.imageUser.slice(colon + 1)
  const primary = userPart === '' ? byUid(input, 0) : parseUserPart('image user', userPart, input)
  return groupPart === '' ? primary : { ...primary, gid: parseGroupPart(groupPart, input.group) }
}

// Numeric by shape, and then never looked up as a name: an image's passwd may hold a line named after an id out of range (CVE-2026-46680).
function parseUserPart(what: string, text: string, input: UserInput): Primary {
  if (looksNumeric(text)) return byUid(input, parseNumeric(what, text))
  const entry = findUser(input.passwd, (e) => e.name === text)
  if (entry === undefined) throw invalid(`${what} ${quote(text)} is not in /etc/passwd of the image`)
  return { uid: entry.uid, gid: entry.gid, entry }
}

function parseGroupPart(text: string, group: Buffer | undefined): number {
  if (looksNumeric(text)) return parseNumeric('image group', text)
  for (const entry of groupsOf(group)) if (entry.name === text) return entry.gid
  throw invalid(`image group ${quote(text)} is not in /etc/group of the image`)
}

// Signs, blanks and digits of other scripts are no user names either, so they need no rule of their own: they are not found.
const looksNumeric = (text: string): boolean => /^[0-9]+$/.test(text)

function parseNumeric(what: string, text: string): number {
  const id = parseDecimalId(text)
  if (id === undefined) throw new CodedError('invalid_argument', `${what} ${quote(text)} must be from 0 to 2147483647`)
  return id
}

function byUid(input: UserInput, uid: number): Primary {
  const entry = findUser(input.passwd, (e) => e.uid === uid)
  return { uid, gid: entry?.gid ?? 0, entry }
}

function memberships(group: Buffer | undefined, user: PasswdEntry | undefined): number[] {
  if (user === undefined) return []
  const found: number[] = []
  for (const entry of groupsOf(group)) if (entry.members.includes(user.name)) found.push(entry.gid)
  return found
}
