// From what a person types - id, start of an id, or name - to the one thing meant.

import { CodedError, notFound } from '@coracle/base/errors'
import type { Container, PodSandbox } from '@coracle/cri-api'
import type { Context } from './context.ts'
import { shortId } from './print/table.ts'

type Candidate<T> = {
  readonly id: string
  readonly name: string
  readonly label: string
  readonly live: boolean
  readonly item: T
}

const FULL_ID = /^[0-9a-f]{64}$/

/** The container by id, id prefix or name. Of several with a name the only running one is meant. */
export async function resolveContainer(context: Context, text: string): Promise<Container> {
  const { ContainerState } = await import('@coracle/cri-api')
  const filter = FULL_ID.test(text) ? { id: text } : {}
  const { containers } = await context.runtime.listContainers({ filter })
  const candidates = containers.map((item) => ({
    id: item.id,
    name: item.metadata?.name ?? '',
    label: `${item.metadata?.name ?? ''} of pod ${item.labels['io.kubernetes.pod.name'] ?? shortId(item.podSandboxId)}`,
    live: item.state === ContainerState.CONTAINER_RUNNING,
    item,
  }))
  return choose(candidates, text, { noun: 'container', list: 'coracle ps -a' })
}

/** The pod by id, id prefix, name or namespace/name. Of several with a name the only ready one is meant. */
export async function resolvePod(context: Context, text: string): Promise<PodSandbox> {
  const { PodSandboxState } = await import('@coracle/cri-api')
  const filter = FULL_ID.test(text) ? { id: text } : {}
  const { items } = await context.runtime.listPodSandbox({ filter })
  const qualified = text.includes('/')
  const candidates = items.map((item) => ({
    id: item.id,
    name: `${qualified ? `${item.metadata?.namespace ?? ''}/` : ''}${item.metadata?.name ?? ''}`,
    label: `${item.metadata?.namespace ?? ''}/${item.metadata?.name ?? ''}`,
    live: item.state === PodSandboxState.SANDBOX_READY,
    item,
  }))
  return choose(candidates, text, { noun: 'pod', list: 'coracle pods' })
}

/** Exported for its tests: exact id, then exact name, then id prefix. */
export function choose<T>(
  candidates: readonly Candidate<T>[],
  text: string,
  words: { readonly noun: string; readonly list: string },
): T {
  const exact = candidates.find((candidate) => candidate.id === text)
  if (exact) return exact.item
  let matches = candidates.filter((candidate) => candidate.name === text)
  if (matches.length > 1) {
    const live = matches.filter((candidate) => candidate.live)
    if (live.length === 1) matches = live
  }
  if (matches.length === 0 && text !== '') matches = candidates.filter((candidate) => candidate.id.startsWith(text))
  const [match] = matches
  if (!match) throw notFound(`no ${words.noun} "${text}": ${words.list} lists them`)
  if (matches.length === 1) return match.item
  const shown = matches.slice(0, 5).map((candidate) => `${shortId(candidate.id)} (${candidate.label})`)
  const more = matches.length > shown.length ? `, and ${matches.length - shown.length} more` : ''
  throw new CodedError(
    'invalid_argument',
    `"${text}" means ${matches.length} ${words.noun}s: ${shown.join(', ')}${more}; give more of the id`,
  )
}
