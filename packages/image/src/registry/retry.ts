// How often and after which pause a registry is asked again.
import type { HttpResponse } from './http.ts'

const maxRetryAfterMs = 60_000
const maxTries = 5
const maxServerErrorTries = 3

/** Tries in all for an HTTP status: others than busy and failing servers mean what they say. */
export const triesFor = (status: number): number =>
  status === 429 ? maxTries : status >= 500 || status === 408 ? maxServerErrorTries : 1

/** Doubles with each try. A registry that is asked too often gets four times that. */
export const pauseMs = (baseMs: number, tries: number, status?: number): number =>
  Math.min(baseMs * 2 ** (tries - 1) * (status === 429 ? 4 : 1), maxRetryAfterMs)

/** Half to all of it: nodes that were refused together do not come back together. */
export const jittered = (ms: number): number => ms * (0.5 + Math.random() / 2)

/** What an answer asks for, as RegistryError takes it. */
export function retryAfterIn({ headers }: Pick<HttpResponse, 'headers'>): { readonly retryAfterMs?: number } {
  const ms = retryAfterMs(headers['retry-after'])
  return ms === undefined ? {} : { retryAfterMs: ms }
}

/** Retry-After as seconds or an HTTP date, at most a minute; undefined when absent or absurd. */
export function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,12}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, maxRetryAfterMs) : undefined
}
