import { createHash } from 'node:crypto'

/**
 * A hash of a message's meaning: equal for two encodings of the same message. Clients written in Go send maps in random order, so
 * the bytes of a retry differ.
 */
export function fingerprint(...messages: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(messages, canonical)).digest('base64url')
}

function canonical(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  return value
}
