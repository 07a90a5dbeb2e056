// The container's environment: defaults, then the image's, then CRI's, and nothing of the daemon's (CVE-2021-3602, CVE-2026-57231).

import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { KeyValue } from '@coracle/cri-api'

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface EnvironmentInput {
  readonly image: readonly string[]
  readonly envs: readonly KeyValue[]
  readonly hostname: string
  readonly terminal: boolean
  readonly home: string
}

/** `NAME=value` entries, each name once, and what had to be changed. Throws `invalid_argument` naming the entry. */
export function environment(input: EnvironmentInput): { readonly env: readonly string[]; readonly warnings: readonly string[] } {
  const warnings: string[] = []
  const values = new Map<string, string>([['PATH', defaultPath]])
  if (input.hostname !== '') values.set('HOSTNAME', input.hostname)
  if (input.terminal) values.set('TERM', 'xterm')
  for (const entry of input.image) {
    const equals = entry.indexOf('=')
    if (equals <= 0) warnings.push(`image environment entry ${quote(entry)} is dropped: it is not NAME=value`)
    else values.set(entry.slice(0, equals), checkValue('image environment', entry.slice(equals + 1)))
  }
  input.envs.forEach((env, i) => {
    const field = `config.envs[${i}]`
    if (env.key === '' || /[=\0]/.test(env.key))
      throw invalid(`${field}.key ${quote(env.key)} must be a name without "=" and NUL`)
    values.set(env.key, checkValue(`${field}.value`, decode(field, env, warnings)))
  })
  if (!values.has('HOME')) values.set('HOME', input.home)
  checkHome(values.get('HOME') ?? '')
  return { env: [...values].map(([name, value]) => `${name}=${value}`), warnings }
}

// config.json is JSON and cannot carry other bytes; both peers replace them without a word.
function decode(field: string, env: KeyValue, warnings: string[]): string {
  const text = Buffer.from(env.value.buffer, env.value.byteOffset, env.value.byteLength).toString('utf8')
  if (text.includes('\ufffd') && !Buffer.from(text).equals(env.value))
    warnings.push(`${field}.value of ${quote(env.key)} is not UTF-8: its other bytes are replaced`)
  return text
}

function checkValue(field: string, value: string): string {
  if (value.includes('\0')) throw invalid(`${field} must not contain NUL`)
  return value
}

// Programs write it into passwd lines, where these bytes would begin another user (CVE-2022-4318).
function checkHome(home: string): void {
  if (/[\n\r:]/.test(home)) throw invalid(`environment HOME ${quote(home)} must not contain a line end or ":"`)
}
