// Container Device Interface files (https://github.com/cncf-tags/container-device-interface, SPEC.md 1.0): the operator's words on what a
// device needs inside a container. Their reading from directories is elsewhere.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject } from '@coracle/base/parse-json'

export interface CdiDeviceNode {
  readonly path: string
  readonly hostPath: string
  readonly permissions: string
  readonly type?: 'b' | 'c' | 'u' | 'p'
  readonly major?: number
  readonly minor?: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

export interface CdiMount {
  readonly hostPath: string
  readonly containerPath: string
  readonly type: string
  readonly options: readonly string[]
}

export const hookNames = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const
export type HookName = (typeof hookNames)[number]

export interface CdiHook {
  readonly hookName: HookName
  readonly path: string
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly timeout?: number
}

export interface CdiEdits {
  readonly env: readonly string[]
  readonly deviceNodes: readonly CdiDeviceNode[]
  readonly mounts: readonly CdiMount[]
  readonly hooks: readonly CdiHook[]
  readonly additionalGids: readonly number[]
  /** Fields of later versions of the specification that we know of and cannot do: who uses the device is refused, others are not. */
  readonly unsupported: readonly string[]
}

export interface CdiSpec {
  /** `vendor/class`. */
  readonly kind: string
  /** For every container that uses a device of this file. */
  readonly edits: CdiEdits
  readonly devices: ReadonlyMap<string, CdiEdits>
}

/**
 * Checks a decoded CDI file (JSON or YAML). A field that the specification does not have is an error: it may be a wish that is misspelt.
 * Throws `invalid_argument` beginning with `what`.
 */
export function parseCdiSpec(what: string, document: unknown): CdiSpec {
  const spec = object(what, document)
  onlyFields(what, spec, ['cdiVersion', 'kind', 'annotations', 'devices', 'containerEdits'])
  const version = text(what, 'cdiVersion', spec)
  if (!/^(0\.[3-9]|1\.[0-9]+)\.[0-9]+$/.test(version)) throw invalid(`${what}: cdiVersion ${quote(version)} is not supported`)
  const kind = text(what, 'kind', spec)
  if (!/^[A-Za-z][\w.-]*\/[A-Za-z][\w.-]*$/.test(kind)) throw invalid(`${what}: kind ${quote(kind)} must be VENDOR/CLASS`)
  const devices = new Map<string, CdiEdits>()
  for (const item of list(what, 'devices', spec)) {
    const device = object(`${what}: devices`, item)
    onlyFields(`${what}: devices`, device, ['name', 'annotations', 'containerEdits'])
    const name = deviceName(`${what}: devices`, device)
    if (!/^[A-Za-z0-9][\w.:-]*$/.test(name)) throw invalid(`${what}: device name ${quote(name)} is not valid`)
    if (devices.has(name)) throw invalid(`${what}: device ${quote(name)} is defined twice`)
    devices.set(name, parseEdits(`${what}: device ${name}`, device['containerEdits']))
  }
  return { kind, edits: parseEdits(what, spec['containerEdits'] ?? {}), devices }
}

function parseEdits(what: string, value: unknown): CdiEdits {
  const edits = object(`${what}: containerEdits`, value)
  onlyFields(`${what}: containerEdits`, edits, [...editFields, ...unsupportedFields])
  return {
    unsupported: unsupportedFields.filter((name) => edits[name] !== undefined),
    env: texts(what, 'env', edits).map((entry) => {
      if (!/^[^=\0]+=[^\0]*$/.test(entry)) throw invalid(`${what}: env ${quote(entry)} must be NAME=value`)
      return entry
    }),
    deviceNodes: list(what, 'deviceNodes', edits).map((node) => parseNode(`${what}: deviceNodes`, node)),
    mounts: list(what, 'mounts', edits).map((mount) => parseMount(`${what}: mounts`, mount)),
    hooks: list(what, 'hooks', edits).map((hook) => parseHook(`${what}: hooks`, hook)),
    additionalGids: list(what, 'additionalGids', edits).map((gid) => natural(`${what}: additionalGids`, gid, 2 ** 31 - 1)),
  }
}

const editFields = ['env', 'deviceNodes', 'mounts', 'hooks', 'additionalGids']
// Cache and memory bandwidth classes (CDI 0.7), network interfaces (CDI 1.1).
const unsupportedFields = ['intelRdt', 'netDevices']

function onlyFields(what: string, from: JsonObject, known: readonly string[]): void {
  const odd = Object.keys(from).find((name) => !known.includes(name))
  if (odd !== undefined) throw invalid(`${what}: field ${quote(odd)} is unknown: expected ${known.join(', ')}`)
}

// YAML makes a number of an unquoted 0, which is what a first device is called.
function deviceName(what: string, device: JsonObject): string {
  const { name } = device
  return typeof name === 'number' && Number.isSafeInteger(name) && name >= 0 ? String(name) : text(what, 'name', device)
}

const nodeFields = ['path', 'hostPath', 'type', 'major', 'minor', 'fileMode', 'permissions', 'uid', 'gid']

function parseNode(what: string, value: unknown): CdiDeviceNode {
  const node = object(what, value)
  onlyFields(what, node, nodeFields)
  const path = absolute(what, 'path', text(what, 'path', node))
  const { type } = node
  if (type !== undefined && type !== '' && type !== 'b' && type !== 'c' && type !== 'u' && type !== 'p')
    throw invalid(`${what}: type ${quote(String(type))} is unknown`)
  const permissions = node['permissions'] === undefined || node['permissions'] === '' ? 'rwm' : node['permissions']
  if (typeof permissions !== 'string' || !/^[rwm]{1,3}$/.test(permissions))
    throw invalid(`${what}: permissions must be letters of "rwm"`)
  const hostPath =
    node['hostPath'] === undefined || node['hostPath'] === '' ? path : absolute(what, 'hostPath', text(what, 'hostPath', node))
  return {
    path,
    hostPath,
    permissions,
    ...(type === undefined || type === '' ? {} : { type }),
    ...optional(what, node, 'major', 2 ** 32 - 1),
    ...optional(what, node, 'minor', 2 ** 32 - 1),
    ...optional(what, node, 'fileMode', 0o7777),
    ...optional(what, node, 'uid', 2 ** 31 - 1),
    ...optional(what, node, 'gid', 2 ** 31 - 1),
  }
}

function parseMount(what: string, value: unknown): CdiMount {
  const mount = object(what, value)
  onlyFields(what, mount, ['hostPath', 'containerPath', 'options', 'type'])
  const options = texts(what, 'options', mount)
  const odd = options.find((option) => !/^[\w=.:/-]+$/.test(option))
  if (odd !== undefined) throw invalid(`${what}: option ${quote(odd)} is not valid`)
  return {
    hostPath: absolute(what, 'hostPath', text(what, 'hostPath', mount)),
    containerPath: absolute(what, 'containerPath', text(what, 'containerPath', mount)),
    type: mount['type'] === undefined || mount['type'] === '' ? 'bind' : text(what, 'type', mount),
    options,
  }
}

function parseHook(what: string, value: unknown): CdiHook {
  const hook = object(what, value)
  onlyFields(what, hook, ['hookName', 'path', 'args', 'env', 'timeout'])
  const hookName = hookNames.find((name) => name === hook['hookName'])
  if (hookName === undefined) throw invalid(`${what}: hookName ${quote(String(hook['hookName']))} is unknown`)
  const env = texts(what, 'env', hook)
  // The dynamic linker would load what a container's author chose into a process of the host (CVE-2025-23266).
  const linker = env.find((entry) => entry.startsWith('LD_'))
  if (linker !== undefined) throw invalid(`${what}: env ${quote(linker)} must not set the dynamic linker's variables`)
  return {
    hookName,
    path: absolute(what, 'path', text(what, 'path', hook)),
    args: texts(what, 'args', hook),
    env,
    ...optional(what, hook, 'timeout', 86_400),
  }
}

function object(what: string, value: unknown): JsonObject {
  if (isObject(value)) return value
  throw invalid(`${what} must be an object`)
}

function list(what: string, name: string, from: JsonObject): readonly unknown[] {
  const value = from[name] ?? []
  if (Array.isArray(value)) return value
  throw invalid(`${what}: ${name} must be an array`)
}

function texts(what: string, name: string, from: JsonObject): readonly string[] {
  const value = list(what, name, from)
  if (value.every((item) => typeof item === 'string')) return value
  throw invalid(`${what}: ${name} must be an array of strings`)
}

function text(what: string, name: string, from: JsonObject): string {
  const value = from[name]
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
  throw invalid(`${what}: ${name} must be text`)
}

function absolute(what: string, name: string, path: string): string {
  if (path.startsWith('/')) return path
  throw invalid(`${what}: ${name} ${quote(path)} must be an absolute path`)
}

function natural(what: string, value: unknown, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value
  throw invalid(`${what} must be a whole number up to ${max}`)
}

const optional = <Name extends string>(
  what: string,
  from: JsonObject,
  name: Name,
  max: number,
): { readonly [key in Name]?: number } =>
  // The cast holds: a computed key of one literal type makes an object with that key, which TypeScript widens to string.
  (from[name] === undefined ? {} : { [name]: natural(`${what}: ${name}`, from[name], max) }) as {
    readonly [key in Name]?: number
  }
