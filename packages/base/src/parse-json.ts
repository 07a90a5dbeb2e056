import { CodedError } from './errors.ts'

export interface JsonLimits {
  /** Largest text in bytes. */
  readonly maxBytes: number
  /** Deepest nesting of arrays and objects, default 64. */
  readonly maxDepth?: number
}

/** Parses foreign JSON within limits. Throws `invalid_argument` naming `what`. Duplicate keys: the last one wins, as in JSON.parse. */
export function parseJson(what: string, text: string | Uint8Array, limits: JsonLimits): unknown {
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength
  if (bytes > limits.maxBytes)
    throw new CodedError('invalid_argument', `${what} is ${bytes} bytes, more than the limit of ${limits.maxBytes}`)
  const string = typeof text === 'string' ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('utf8')
  checkDepth(what, string, limits.maxDepth ?? 64)
  try {
    return JSON.parse(string)
  } catch (err) {
    throw new CodedError('invalid_argument', `${what} is not valid JSON`, { cause: err })
  }
}

// JSON.parse recurses: a deep document would end in a stack overflow, so depth is counted first.
function checkDepth(what: string, text: string, maxDepth: number): void {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === 0x5c) i++
      else if (c === 0x22) inString = false
    } else if (c === 0x22) inString = true
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > maxDepth) throw new CodedError('invalid_argument', `${what} is nested deeper than ${maxDepth} levels`)
    } else if (c === 0x7d || c === 0x5d) depth--
  }
}

export type JsonObject = { readonly [key: string]: unknown }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
