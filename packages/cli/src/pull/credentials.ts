// Credentials and the other options of a pull, as several commands take them.
import { readFile } from 'node:fs/promises'
import type { AuthConfigSchema } from '@coracle/cri-api'
import type { MessageInitShape } from '@coracle/cri-api/json'
import { UsageError } from '../usage-error.ts'

export const credentialOptions = {
  creds: { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry' },
  auth: { kind: 'string', value: 'BASE64', help: 'credentials as in a docker config file: base64 of user:password' },
  username: { kind: 'string', short: 'u', value: 'USER', help: 'user name; the password is read from standard input' },
} as const

export type CredentialOptions = {
  readonly creds: string | undefined
  readonly auth: string | undefined
  readonly username: string | undefined
}

/** @throws UsageError when more than one form is given, or the pair is malformed. */
export async function authFrom(options: CredentialOptions): Promise<MessageInitShape<typeof AuthConfigSchema> | undefined> {
  const given = [options.creds, options.auth, options.username].filter((value) => value !== undefined)
  if (given.length > 1) throw new UsageError('give only one of --creds, --auth and --username')
  if (options.auth !== undefined) return { auth: options.auth }
  if (options.username !== undefined)
    return { username: options.username, password: (await readFile('/dev/stdin', 'utf8')).trimEnd() }
  if (options.creds === undefined) return undefined
  const colon = options.creds.indexOf(':')
  if (colon < 1) throw new UsageError('option --creds expects USER:PASSWORD')
  return { username: options.creds.slice(0, colon), password: options.creds.slice(colon + 1) }
}
