// The options that every command with a stream has, and how to dial the URL that the runtime answered with.
import { readFileSync } from 'node:fs'
import { doing } from '@coracle/base/errors'
import type { ConnectOptions, Transport } from '@coracle/streaming/client'
import type { OptionTable } from '../options.ts'

export const streamOptions = {
  transport: {
    kind: 'string',
    short: 'r',
    value: 'PROTOCOL',
    choices: ['spdy', 'websocket'],
    help: 'spdy (default) or websocket',
  },
  'stream-ca': { kind: 'string', value: 'FILE', help: 'certificates to trust when the stream server speaks TLS, PEM' },
  'stream-insecure': { kind: 'flag', help: 'trust any certificate of the stream server' },
} as const satisfies OptionTable

export type StreamOptions = {
  readonly transport: string | undefined
  readonly 'stream-ca': string | undefined
  readonly 'stream-insecure': boolean
}

export const transportOf = ({ transport }: StreamOptions): Transport => (transport === 'websocket' ? 'websocket' : 'spdy')

/** @throws `not_found` when the file of certificates cannot be read. */
export async function connectOptions(options: StreamOptions, signal: AbortSignal): Promise<ConnectOptions> {
  const path = options['stream-ca']
  const ca = path === undefined ? {} : { ca: await doing(`read certificates ${path}`, () => readFileSync(path)) }
  return { signal, insecure: options['stream-insecure'], ...ca }
}
