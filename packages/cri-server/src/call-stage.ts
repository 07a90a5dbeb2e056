// A call as a stage: what it is about, and what its caller is told when time runs out.
import type { Message } from '@bufbuild/protobuf'
import { CodedError } from '@coracle/base/errors'
import type { Stage, Subject } from '@coracle/base/stages'
import { hangsIn, seconds } from '@coracle/base/why'

/** How long before the end of its time a call is answered, so that the answer still arrives: a client that gives up itself knows no reason. */
const marginMaxMs = 1000
const marginShare = 0.1

export const answerBeforeMs = (timeMs: number): number => Math.min(marginMaxMs, timeMs * marginShare)

/** What a request is about: ids and names, nothing else. */
export function subjectOf(request: Message): Subject {
  const fields = request as { readonly [name: string]: unknown }
  const subject: Record<string, string> = {}
  const { podSandboxId, containerId, image, config } = fields
  if (typeof podSandboxId === 'string' && podSandboxId !== '') subject['podId'] = podSandboxId.slice(0, 100)
  if (typeof containerId === 'string' && containerId !== '') subject['containerId'] = containerId.slice(0, 100)
  const name = textIn(image, 'image')
  if (name !== '') subject['image'] = name
  const metadata = typeof config === 'object' && config !== null && 'metadata' in config ? config.metadata : undefined
  if (metadata !== undefined) {
    const own = textIn(metadata, 'name')
    if (podSandboxId === undefined) subject['pod'] = `${textIn(metadata, 'namespace')}/${own}`
    else subject['container'] = own
  }
  return subject
}

function textIn(value: unknown, field: string): string {
  if (typeof value !== 'object' || value === null || !(field in value)) return ''
  const text = (value as { readonly [name: string]: unknown })[field]
  return typeof text === 'string' ? text.slice(0, 200) : ''
}

/** Why a call ends before its work: the caller's time is over, or the caller is gone. Says where the work is. */
export function cutShort(own: Stage, timeMs: number | undefined): CodedError {
  const where = hangsIn(own)
  const at = where === '' ? '' : `: it is in ${where}`
  if (timeMs === undefined) return new CodedError('canceled', `the caller of ${own.kind} left${at}`)
  return new CodedError('deadline_exceeded', `${own.kind} did not finish within the caller's ${seconds(timeMs)}${at}`)
}
