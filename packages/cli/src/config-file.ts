// Pod and container configurations from files, in the vocabulary of crictl: JSON or YAML, snake_case or camelCase.
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { CodedError } from '@coracle/base/errors'
import { type ContainerConfig, ContainerConfigSchema, type PodSandboxConfig, PodSandboxConfigSchema } from '@coracle/cri-api'
import { type DescMessage, fromJson, type JsonObject, type JsonValue, type MessageShape } from '@coracle/cri-api/json'

/** A pod configuration; a missing uid is made up, since two pods without one would be the same pod. */
export async function loadPodConfig(path: string): Promise<PodSandboxConfig> {
  const config = await load(PodSandboxConfigSchema, path, 'pod')
  if (config.metadata && !config.metadata.uid) config.metadata.uid = crypto.randomUUID()
  return config
}

export function loadContainerConfig(path: string): Promise<ContainerConfig> {
  return load(ContainerConfigSchema, path, 'container')
}

export function looksLikeConfigFile(path: string): boolean {
  return ['.json', '.yaml', '.yml'].includes(extname(path))
}

async function load<D extends DescMessage>(schema: D, path: string, noun: string): Promise<MessageShape<D>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (err) {
    const missing = err instanceof Error && 'code' in err && err.code === 'ENOENT'
    throw new CodedError(missing ? 'not_found' : 'invalid_argument', `read ${noun} configuration`, { cause: err })
  }
  const value = await parseText(text, path)
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0)
    throw new CodedError('invalid_argument', `${noun} configuration ${path} is empty or not a map of fields`)
  try {
    return fromJson(schema, encodeEnvironment(value))
  } catch (err) {
    throw new CodedError('invalid_argument', `${noun} configuration ${path}: ${fieldError(err)}`)
  }
}

async function parseText(text: string, path: string): Promise<JsonValue> {
  try {
    if (extname(path) === '.json') return JSON.parse(text)
    const { parse } = await import('yaml')
    return parse(text)
  } catch (err) {
    const reason = err instanceof Error ? err.message.split('\n')[0] : String(err)
    throw new CodedError('invalid_argument', `${path} is not valid ${extname(path) === '.json' ? 'JSON' : 'YAML'}: ${reason}`)
  }
}

/** In these files the value of a variable is text; the message has bytes, whose JSON form would be base64. */
function encodeEnvironment(config: JsonObject): JsonObject {
  const { envs } = config
  if (!Array.isArray(envs)) return config
  const encoded = envs.map((variable) => {
    if (typeof variable !== 'object' || variable === null || Array.isArray(variable)) return variable
    const { value } = variable
    return value === null || value === undefined
      ? variable
      : { ...variable, value: Buffer.from(String(value)).toString('base64') }
  })
  return { ...config, envs: encoded }
}

/** protobuf's own words, without its type names. */
function fieldError(err: unknown): string {
  const text = err instanceof Error ? err.message : String(err)
  return text.replaceAll(/(message |field )?runtime\.v1\./g, '')
}
