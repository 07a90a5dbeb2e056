// Failures of a registry, told apart so that kubelet can show the cause. Messages name the host; URLs and secrets never get into them.

import { errnoOf } from '@coracle/base/errno'
import { CodedError, type ErrorCode, explain } from '@coracle/base/errors'

export type RegistryFailure =
  | 'unavailable'
  | 'dns'
  | 'tls'
  | 'stalled'
  | 'unauthorized'
  | 'denied'
  | 'not_found'
  | 'rate_limited'
  | 'protocol'
  | 'corrupt'

const codes: Readonly<Record<RegistryFailure, ErrorCode>> = {
  // kubelet reads the reason RegistryUnavailable only from errors of this code.
  unavailable: 'unknown',
  dns: 'unknown',
  tls: 'unknown',
  stalled: 'deadline_exceeded',
  unauthorized: 'unauthenticated',
  denied: 'permission_denied',
  not_found: 'not_found',
  rate_limited: 'resource_exhausted',
  protocol: 'unknown',
  corrupt: 'data_loss',
}

export class RegistryError extends CodedError {
  override readonly name = 'RegistryError'
  readonly failure: RegistryFailure
  /** HTTP status, where there was an answer. */
  readonly status: number | undefined
  /** `host[:port]` that failed, where it is one. */
  readonly host: string | undefined
  /** What the server asks to wait for. */
  readonly retryAfterMs: number | undefined
  constructor(
    failure: RegistryFailure,
    message: string,
    options: ErrorOptions & { readonly status?: number; readonly host?: string; readonly retryAfterMs?: number } = {},
  ) {
    super(codes[failure], message, options.cause === undefined ? undefined : { cause: options.cause })
    this.failure = failure
    this.status = options.status
    this.host = options.host
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Whether the host, not the image, is the trouble: another mirror may do. */
export const isUnavailable = (err: unknown): boolean =>
  err instanceof RegistryError && ['unavailable', 'dns', 'tls', 'stalled', 'rate_limited'].includes(err.failure)

/**
 * One error for all endpoints that were asked. The last one is the registry itself: its word counts, the others' are told
 * beside it.
 */
export function allFailed(failures: readonly RegistryError[]): RegistryError {
  const last = failures.at(-1)
  if (last === undefined) return new RegistryError('unavailable', 'no endpoint was asked')
  if (failures.length === 1) return last
  return new RegistryError(
    last.failure,
    failures.map(explain).join('; '),
    last.status === undefined ? {} : { status: last.status },
  )
}

const dnsErrors = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME'])

/** A failed connection, as a RegistryError naming `host`. */
export function connectionFailed(host: string, cause: unknown): RegistryError {
  if (cause instanceof RegistryError) return cause
  // Happy eyeballs: one error for each address.
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  const code = errnoOf(first) ?? ''
  const why = first instanceof Error ? first.message : String(first)
  if (dnsErrors.has(code)) return new RegistryError('dns', `look up ${host}: ${code}`, { host })
  if (code === 'ECONNREFUSED') return new RegistryError('unavailable', `connect to ${host}: connection refused`, { host })
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH|ERR_OSSL)/.test(code))
    return new RegistryError('tls', `TLS with ${host}: ${tlsReason(code, why)} (${code})`, { host })
  return new RegistryError('unavailable', `talk to ${host}: ${code === '' || why.includes(code) ? why : `${why} (${code})`}`)
}

// Node's own words go on with advice about Node.
function tlsReason(code: string, why: string): string {
  if (/^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/.test(code))
    return 'its certificate is of an unknown authority; known ones come from the system, ca_file, certs.d and hosts.toml'
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'what it speaks is no TLS, perhaps plain HTTP: that has to be allowed for this host'
  // OpenSSL's queue entry: thread, number, library, function and file beside the reason.
  return /:error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):/.exec(why)?.[1] ?? why.split(';')[0] ?? why
}

/** The failure that an HTTP status means. */
export function failureOf(status: number): RegistryFailure {
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'denied'
  if (status === 404 || status === 410) return 'not_found'
  if (status === 429) return 'rate_limited'
  return status >= 500 ? 'unavailable' : 'protocol'
}

/**
 * The words of a refusal: {"errors":[{"code":"DENIED","message":"…"}]} as the distribution specification has it, {"details":"…"} of
 * token services, else the text itself.
 */
export function errorText(body: Buffer): string {
  const text = body.toString('utf8').trim()
  try {
    const { errors, details } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[]; details?: unknown }
    if (Array.isArray(errors)) return errors.map((error) => `${error?.code ?? ''} ${error?.message ?? ''}`.trim()).join(', ')
    if (typeof details === 'string') return details
  } catch {
    // No JSON: shown as it is.
  }
  return text
}
