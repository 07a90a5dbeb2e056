// Seccomp profiles that an operator put on the node: the runtime spec's linux.seccomp object as a JSON file.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Seccomp, SeccompArg, SeccompRule } from '@coracle/oci-spec/runtime-spec'
import { seccompProfileOf } from './seccomp.ts'

/** Largest profile file that is read. */
export const seccompMaxBytes = 1024 * 1024

/** The profile a container's Localhost reference names, by way of `read`; undefined when it asks for none. Throws `invalid_argument` when it is absent or bad. */
export function localhostSeccomp(config: ContainerConfig, read: (path: string) => Uint8Array | undefined): Seccomp | undefined {
  const profile = seccompProfileOf(config.linux?.securityContext)
  if (profile?.kind !== 'localhost') return undefined
  const what = `seccomp profile ${quote(profile.ref)}`
  const file = read(profile.ref)
  if (file === undefined) throw invalid(`${what} does not exist on this node`)
  return parseSeccomp(what, file)
}

/**
 * Throws `invalid_argument` unless `json` is a profile whose every part is understood. User notification is refused: its listener would be
 * a process of the host that nobody here runs.
 */
export function parseSeccomp(what: string, json: string | Uint8Array): Seccomp {
  const profile = parseJson(what, json, { maxBytes: seccompMaxBytes })
  if (!isObject(profile)) throw invalid(`${what} must be an object`)
  if (profile['listenerPath'] !== undefined) throw invalid(`${what}: listenerPath is not supported`)
  const syscalls = profile['syscalls'] ?? []
  if (!Array.isArray(syscalls)) throw invalid(`${what}: syscalls must be an array`)
  return {
    defaultAction: action(what, 'defaultAction', profile['defaultAction']),
    ...optionalNumber(what, 'defaultErrnoRet', profile),
    architectures: texts(what, 'architectures', profile['architectures'] ?? []),
    flags: texts(what, 'flags', profile['flags'] ?? []),
    syscalls: syscalls.map((rule, i) => parseRule(`${what}: syscalls[${i}]`, rule)),
  }
}

function parseRule(what: string, rule: unknown): SeccompRule {
  if (!isObject(rule)) throw invalid(`${what} must be an object`)
  const names = texts(what, 'names', rule['names'] ?? (rule['name'] === undefined ? [] : [rule['name']]))
  if (names.length === 0) throw invalid(`${what} names no system call`)
  const args = rule['args'] ?? []
  if (!Array.isArray(args)) throw invalid(`${what}: args must be an array`)
  return {
    names,
    action: action(what, 'action', rule['action']),
    ...optionalNumber(what, 'errnoRet', rule),
    ...(args.length === 0 ? {} : { args: args.map((arg, i) => parseArg(`${what}: args[${i}]`, arg)) }),
  }
}

function parseArg(what: string, arg: unknown): SeccompArg {
  if (!isObject(arg)) throw invalid(`${what} must be an object`)
  const { op } = arg
  if (typeof op !== 'string' || !/^SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/.test(op))
    throw invalid(`${what}: op ${quote(String(op))} is unknown`)
  return {
    index: natural(what, 'index', arg['index']),
    value: natural(what, 'value', arg['value']),
    ...(arg['valueTwo'] === undefined ? {} : { valueTwo: natural(what, 'valueTwo', arg['valueTwo']) }),
    op,
  }
}

const actions = new Set(
  ['KILL', 'KILL_PROCESS', 'KILL_THREAD', 'TRAP', 'ERRNO', 'TRACE', 'ALLOW', 'LOG'].map((name) => `SCMP_ACT_${name}`),
)

function action(what: string, name: string, value: unknown): string {
  if (typeof value === 'string' && actions.has(value)) return value
  throw invalid(`${what}: ${name} ${quote(String(value))} is not one of ${[...actions].join(', ')}`)
}

function texts(what: string, name: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalid(`${what}: ${name} must be an array of strings`)
}

function natural(what: string, name: string, value: unknown): number {
  // Values above 2^53 are exact only when they are masks of high bits; JSON gives nothing better.
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  throw invalid(`${what}: ${name} must be a whole number`)
}

const optionalNumber = <Name extends string>(what: string, name: Name, object: JsonObject): { readonly [key in Name]?: number } =>
  // The cast holds: a computed key of one literal type makes an object with that key, which TypeScript widens to string.
  (object[name] === undefined ? {} : { [name]: natural(what, name, object[name]) }) as { readonly [key in Name]?: number }
