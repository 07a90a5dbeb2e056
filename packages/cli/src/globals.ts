// Options before the command, the environment, and crictl's configuration file.
import { readFileSync } from 'node:fs'
import { CodedError } from '@coracle/base/errors'
import type { Endpoints } from './context.ts'
import { type OptionTable, type OptionValues, parseArguments } from './options.ts'
import { parseDurationMs } from './quantities.ts'

export const DEFAULT_SOCKET = '/run/coracle/coracle.sock'
const DEFAULT_TIMEOUT_MS = 120_000

export const globalOptions = {
  'runtime-endpoint': {
    kind: 'string',
    short: 'r',
    value: 'SOCKET',
    help: `socket of the runtime (default unix://${DEFAULT_SOCKET})`,
  },
  'image-endpoint': { kind: 'string', short: 'i', value: 'SOCKET', help: 'socket of the image service, when it is another one' },
  timeout: { kind: 'duration', short: 't', value: 'DURATION', help: 'deadline of a call, such as 10s; 0 for none (default 2m)' },
  config: { kind: 'string', short: 'c', value: 'FILE', help: 'crictl.yaml to read endpoints and timeout from' },
  debug: { kind: 'flag', short: 'D', help: 'show where an error came from' },
  help: { kind: 'flag', short: 'h', help: 'show help' },
  version: { kind: 'flag', short: 'v', help: 'show the version of this command' },
} as const satisfies OptionTable

export type GlobalOptions = OptionValues<typeof globalOptions>
export type Environment = Readonly<Record<string, string | undefined>>

/** Splits `coracle [global options] COMMAND [arguments]`. */
export function parseGlobals(args: readonly string[]): { options: GlobalOptions; name: string | undefined; rest: string[] } {
  const { options, operands } = parseArguments(globalOptions, args, { stopAtOperand: true })
  return { options, name: operands[0], rest: operands.slice(1) }
}

/** Flags win over the environment, that over the configuration file, that over the defaults. */
export async function resolveEndpoints(options: GlobalOptions, environment: Environment): Promise<Endpoints> {
  const configPath = options.config ?? environment['CRI_CONFIG_FILE']
  const config = configPath ? await readCrictlConfig(configPath) : {}
  const runtime =
    options['runtime-endpoint'] ??
    environment['CORACLE_SOCKET'] ??
    environment['CONTAINER_RUNTIME_ENDPOINT'] ??
    config['runtime-endpoint'] ??
    DEFAULT_SOCKET
  const image = options['image-endpoint'] ?? environment['IMAGE_SERVICE_ENDPOINT'] ?? config['image-endpoint'] ?? runtime
  const configured = config['timeout'] === undefined ? undefined : parseDurationMs(config['timeout'])
  return {
    runtimeSocket: socketPath(runtime),
    imageSocket: socketPath(image),
    timeoutMs: options.timeout ?? (configured || DEFAULT_TIMEOUT_MS),
  }
}

export function socketPath(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?/, '')
  if (/^[a-z]+:\/\//.test(path))
    throw new CodedError('invalid_argument', `endpoint ${endpoint}: only unix:// sockets are supported`)
  return path
}

async function readCrictlConfig(path: string): Promise<Record<string, string>> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (err) {
    throw new CodedError('not_found', `read configuration ${path}`, { cause: err })
  }
  const { parse } = await import('yaml')
  const values: unknown = parse(text) ?? {}
  if (typeof values !== 'object' || values === null)
    throw new CodedError('invalid_argument', `configuration ${path} is not a map of keys and values`)
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== '' && value !== null)
      .map(([key, value]) => [key, String(value)]),
  )
}
