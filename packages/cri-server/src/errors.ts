import { CodedError, codeOf, type ErrorCode, explain } from '@coracle/base/errors'
import { status } from '@grpc/grpc-js'

/** gRPC's numbers for our words (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md). A new code does not compile until it is here. */
const statusOf = {
  canceled: status.CANCELLED,
  unknown: status.UNKNOWN,
  invalid_argument: status.INVALID_ARGUMENT,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  permission_denied: status.PERMISSION_DENIED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  failed_precondition: status.FAILED_PRECONDITION,
  aborted: status.ABORTED,
  out_of_range: status.OUT_OF_RANGE,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  data_loss: status.DATA_LOSS,
  unauthenticated: status.UNAUTHENTICATED,
} as const satisfies Record<ErrorCode, status>

/** Longest message that is sent: it travels in a header. */
const messageMaxLength = 8000

export interface GrpcFailure {
  readonly code: status
  readonly details: string
}

/** What the caller is told. An aborted call is `canceled` or `deadline_exceeded`, whatever failed inside because of it. */
export function toGrpc(err: unknown, signal: AbortSignal): GrpcFailure {
  const code = signal.aborted ? codeOf(signal.reason) : codeOf(err)
  const text = explain(err)
  return { code: statusOf[code], details: text.length > messageMaxLength ? `${text.slice(0, messageMaxLength)}…` : text }
}

export const unimplemented = (rpc: string): CodedError => new CodedError('unimplemented', `${rpc} is not implemented`)
