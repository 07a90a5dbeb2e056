// Tokens stand for prepared requests: unguessable, used once, short-lived, and few.
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { monotonicMs } from '@coracle/base/clock'
import { CodedError } from '@coracle/base/errors'
import type { StreamAttachRequest, StreamExecRequest, StreamPortForwardRequest } from './target.ts'

export type PreparedRequest =
  | { readonly kind: 'exec'; readonly request: StreamExecRequest }
  | { readonly kind: 'attach'; readonly request: StreamAttachRequest }
  | { readonly kind: 'portforward'; readonly request: StreamPortForwardRequest }

/** A request whose client has come, and how to go on where it was prepared: in its trace, under its name. */
export interface TakenRequest {
  readonly prepared: PreparedRequest
  readonly resume: (work: () => void) => void
}

interface Entry extends TakenRequest {
  readonly expiresAtMs: number
}

export const MAX_TOKENS = 1_000
const TOKEN_BYTES = 24

export class Tokens {
  readonly #lifetimeMs: number
  readonly #now: () => number
  /** In the order of issue, which is the order of expiry. */
  readonly #prepared = new Map<string, Entry>()

  /** `now` is a monotonic clock in milliseconds. */
  constructor(lifetimeMs: number, now: () => number = monotonicMs) {
    this.#lifetimeMs = lifetimeMs
    this.#now = now
  }

  get outstanding(): number {
    this.#dropExpired()
    return this.#prepared.size
  }

  /** 192 random bits, safe in a URL. Throws `resource_exhausted` while 1,000 tokens are outstanding. */
  issue(prepared: PreparedRequest): string {
    this.#dropExpired()
    if (this.#prepared.size >= MAX_TOKENS) {
      throw new CodedError('resource_exhausted', `${MAX_TOKENS} stream requests wait for their client, expected fewer`)
    }
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    const resume = AsyncLocalStorage.snapshot()
    this.#prepared.set(token, { prepared, resume, expiresAtMs: this.#now() + this.#lifetimeMs })
    return token
  }

  /** The request behind the token, which is spent by this when the kind is right. */
  take(kind: PreparedRequest['kind'], token: string): TakenRequest | undefined {
    this.#dropExpired()
    const entry = this.#prepared.get(token)
    if (entry === undefined || entry.prepared.kind !== kind) return undefined
    this.#prepared.delete(token)
    return entry
  }

  #dropExpired(): void {
    const now = this.#now()
    for (const [token, { expiresAtMs }] of this.#prepared) {
      if (expiresAtMs > now) return
      this.#prepared.delete(token)
    }
  }
}

/** Counts failures; over the limit within a second, the rest of that second is refused. */
export class FailureLimit {
  readonly #perSecond: number
  readonly #now: () => number
  #windowStartMs = Number.NEGATIVE_INFINITY
  #failures = 0

  constructor(perSecond: number, now: () => number = monotonicMs) {
    this.#perSecond = perSecond
    this.#now = now
  }

  /** Records a failure; false when there were too many. */
  allow(): boolean {
    const now = this.#now()
    if (now - this.#windowStartMs >= 1000) {
      this.#windowStartMs = now
      this.#failures = 0
    }
    this.#failures++
    return this.#failures <= this.#perSecond
  }
}
