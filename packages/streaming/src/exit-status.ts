// How the end of an exec or attach is told on the error stream (k8s.io/apimachinery metav1.Status; remotecommand protocol v4).
import { type ErrorCode, explain } from '@coracle/base/errors'

export type CommandEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }

/** The message for the error stream, `undefined` when this protocol says nothing about success. */
export function statusMessage(end: CommandEnd, json: boolean): string | undefined {
  if (json) return JSON.stringify(statusObject(end))
  const status = statusObject(end)
  return status.status === 'Success' ? undefined : status.message
}

interface Status {
  readonly metadata: Readonly<Record<string, never>>
  readonly status: 'Success' | 'Failure'
  readonly message?: string
  readonly reason?: string
  readonly details?: { readonly causes: readonly { readonly reason?: string; readonly message: string }[] }
  readonly code?: number
}

function statusObject(end: CommandEnd): Status {
  if (end.kind === 'done' || (end.kind === 'exited' && end.exitCode === 0)) return { metadata: {}, status: 'Success' }
  if (end.kind === 'exited') {
    const exitCode = String(end.exitCode)
    return {
      metadata: {},
      status: 'Failure',
      message: `command terminated with non-zero exit code: exit status ${exitCode}`,
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: exitCode }] },
    }
  }
  const message = explain(end.error)
  return {
    metadata: {},
    status: 'Failure',
    message: `Internal error occurred: ${message}`,
    reason: 'InternalError',
    details: { causes: [{ message }] },
    code: 500,
  }
}

/** What a client made of the error stream. */
export interface ReportedEnd {
  readonly exitCode: number
  /** Set when the command could not be run, or its end is not known. */
  readonly failure?: { readonly code: ErrorCode; readonly message: string }
}

/** Reads what `statusMessage` (ours or a peer's) wrote; an empty text is success. */
export function parseStatusMessage(text: string): ReportedEnd {
  if (text.trim() === '') return { exitCode: 0 }
  const status = parseStatus(text)
  if (status === undefined) {
    // Protocols before v4: plain text, the exit code only as prose.
    const code = /(?:exit status|exit code:?|exited with) (\d{1,3})\s*$/.exec(text)?.[1]
    return code === undefined ? unknownEnd(text) : { exitCode: Number(code) }
  }
  if (status.status === 'Success') return { exitCode: 0 }
  const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')
  const exitCode = Number(cause?.message)
  if (status.reason === 'NonZeroExitCode' && Number.isInteger(exitCode)) return { exitCode }
  return unknownEnd(String(status.message ?? text))
}

const unknownEnd = (message: string): ReportedEnd => ({ exitCode: 255, failure: { code: 'internal', message } })

function parseStatus(text: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(text)
    // Every field is looked at with care by the caller; only the outermost shape is claimed here.
    return typeof value === 'object' && value !== null && 'status' in value ? (value as Status) : undefined
  } catch {
    return undefined
  }
}
