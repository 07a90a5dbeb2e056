// grpc-status and grpc-message, as errors of this program.
import { CodedError, type ErrorCode } from '@coracle/base/errors'

/** Code numbers of gRPC, by index; 0 is OK. https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
const CODES: readonly (ErrorCode | 'ok')[] = [
  'ok',
  'canceled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
]

/** The error that `headers` (trailers, or a reply that is only headers) stand for; undefined for OK. */
export function statusError(path: string, headers: ReadonlyMap<string, string>): CodedError | undefined {
  const status = headers.get('grpc-status')
  if (status === undefined)
    return new CodedError(
      'unavailable',
      `${path}: not a gRPC server: it answered with HTTP status ${headers.get(':status') ?? 'none'}`,
    )
  const code = CODES[Number(status)] ?? 'unknown'
  if (code === 'ok') return undefined
  const message = headers.get('grpc-message')
  return new CodedError(code, message ? decodeMessage(message) : `${path} failed with gRPC status ${status} (${code})`)
}

/** Undoes the percent-encoding of UTF-8 bytes. Malformed escapes stay as they are, as the protocol asks. */
export function decodeMessage(text: string): string {
  if (!text.includes('%')) return text
  const bytes = Buffer.from(text, 'latin1')
  const out: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    const hex = /^%[0-9a-fA-F]{2}/.test(text.slice(i, i + 3))
    out.push(hex ? Number.parseInt(text.slice(i + 1, i + 3), 16) : (bytes[i] ?? 0))
    if (hex) i += 2
  }
  return Buffer.from(out).toString('utf8')
}
