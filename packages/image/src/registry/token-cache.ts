// Bearer tokens that are still good, so that a pull of what is known already needs one request. In memory only.
import { createHash } from 'node:crypto'
import { monotonicMs } from '@coracle/base/clock'
import type { Credentials } from '../images.ts'

/** What a token was given for. */
export interface TokenIdentity {
  readonly baseUrl: string
  readonly repository: string
  readonly credentials: Credentials | undefined
}

const maxTokens = 1000
const maxLifeS = 3600
// A token that dies on the way costs a round trip; one that is fetched early costs the same.
const marginS = 10

/** A token serves only those who give the credentials that it was given for. */
export class TokenCache {
  readonly #tokens = new Map<string, { readonly authorization: string; readonly untilMs: number }>()

  find(identity: TokenIdentity): string | undefined {
    const key = keyOf(identity)
    const token = this.#tokens.get(key)
    if (token === undefined) return undefined
    if (token.untilMs > monotonicMs()) return token.authorization
    this.#tokens.delete(key)
    return undefined
  }

  keep(identity: TokenIdentity, authorization: string, expiresInS: number): void {
    const lifeS = Math.min(expiresInS, maxLifeS) - marginS
    if (lifeS <= 0) return
    const oldest = this.#tokens.keys().next().value
    if (this.#tokens.size >= maxTokens && oldest !== undefined) this.#tokens.delete(oldest)
    this.#tokens.set(keyOf(identity), { authorization, untilMs: monotonicMs() + lifeS * 1000 })
  }

  forget(identity: TokenIdentity): void {
    this.#tokens.delete(keyOf(identity))
  }
}

// Hashed: the keys hold no password.
function keyOf({ baseUrl, repository, credentials }: TokenIdentity): string {
  return createHash('sha256')
    .update(JSON.stringify([baseUrl, repository, credentials ?? null]))
    .digest('base64')
}
