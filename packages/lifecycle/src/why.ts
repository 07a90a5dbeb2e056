// Why a pod, a container or an image is not what one expects: what it is, what is under way for it, and what ended lately.
import type { PastWork, StageHistory } from '@coracle/base/stage-history'
import { type Stage, type Subject, stagesUnderWay } from '@coracle/base/stages'
import { hangsIn } from '@coracle/base/why'
import type { Container } from './model/container.ts'
import { type Pod, podTitle } from './model/pod.ts'
import type { Services } from './services.ts'

export interface Thing {
  readonly kind: 'pod' | 'container' | 'image'
  /** Empty for an image that is not there. */
  readonly id: string
  readonly name: string
  readonly state: string
  /** What the record says beside the state; may be empty. */
  readonly words: string
}

export interface Explanation {
  readonly things: readonly Thing[]
  readonly underWay: readonly Stage[]
  readonly lately: readonly PastWork[]
}

type Known = Pick<Services, 'pods' | 'containers' | 'images' | 'cni' | 'startFlights'>

/**
 * `name`: an id or the start of one, `namespace/name` or name of a pod (also one that is only being made), name of a container or an
 * image. Empty: all that is under way. Unknown names have no things, but may have work: an image that is being pulled.
 */
export function explainWhy(services: Known, history: Pick<StageHistory, 'past'>, name: string): Explanation {
  if (name === '') {
    const underWay = [...stagesUnderWay()].filter((stage) => hangsIn(stage) !== '')
    return { things: [], underWay, lately: history.past().slice(-20) }
  }
  const pods = [...services.pods.all()].filter((pod) => isNamed(name, pod.id, podTitle(pod.config), pod.config.metadata?.name))
  const podIds = new Set<string>(pods.map(({ id }) => id))
  const containers = [...services.containers.all()].filter(
    (container) => podIds.has(container.podId) || isNamed(name, container.id, container.config.metadata?.name),
  )
  const image = findImage(services, name)
  const images = new Set([name, ...(image === undefined ? [] : [image.id, ...image.tags, ...image.digests])])
  const about = (subject: Subject): boolean =>
    pods.some(({ id, config }) => isOf(subject['podId'], id) || subject['pod'] === podTitle(config)) ||
    containers.some(({ id }) => isOf(subject['containerId'], id)) ||
    isNamed(name, subject['podId'], subject['pod'], subject['pod']?.split('/')[1]) ||
    (subject['image'] !== undefined && [...images].some((known) => isSameImage(known, subject['image'] ?? '')))
  return {
    things: [
      ...pods.map((pod) => podThing(services, pod)),
      ...containers.map((container) => containerThing(services, container)),
      ...(image === undefined ? [] : [{ kind: 'image' as const, id: image.id, name, state: 'present', words: '' }]),
    ],
    underWay: [...stagesUnderWay()].filter((stage) => anyIn(stage, about)),
    lately: history
      .past()
      .filter(({ subject }) => about(subject))
      .slice(-10),
  }
}

/** A request may give the start of an id. */
const isOf = (given: string | undefined, id: string): boolean => given !== undefined && given !== '' && id.startsWith(given)

const shortestIdStart = 4

function isNamed(name: string, id: string | undefined, ...names: readonly (string | undefined)[]): boolean {
  return names.includes(name) || (id !== undefined && name.length >= shortestIdStart && id.startsWith(name))
}

/** `busybox` is `docker.io/library/busybox:latest`, and so on: the shorter one is the end of the longer. */
function isSameImage(one: string, other: string): boolean {
  const [long, short] = [one, other]
    .map((name) => (/[:@][^/]*$/.test(name) ? name : `${name}:latest`))
    .sort((a, b) => b.length - a.length)
  return long === short || (long ?? '').endsWith(`/${short}`)
}

function findImage({ images }: Known, name: string): ReturnType<Known['images']['find']> {
  try {
    return images.find(name)
  } catch {
    // The name of a pod need not be one of an image.
    return undefined
  }
}

function anyIn(stage: Stage, about: (subject: Subject) => boolean): boolean {
  return about(stage.subject) || [...stage.open].some((part) => anyIn(part, about))
}

function podThing({ cni }: Known, { id, config, state, network }: Pod): Thing {
  const words: string[] = []
  if (state.kind === 'unknown') words.push(state.reason)
  const status = cni.status()
  if (state.kind !== 'ready' && network === undefined && !status.ready) words.push(`the network is not ready: ${status.reason}`)
  return { kind: 'pod', id, name: podTitle(config), state: state.kind, words: words.join('; ') }
}

function containerThing({ startFlights }: Known, { id, config, state }: Container): Thing {
  const name = config.metadata?.name ?? ''
  const isStarting = startFlights.resultOf(id) !== undefined
  return { kind: 'container', id, name, state: state.kind, words: isStarting ? 'being started' : wordsOf(state) }
}

function wordsOf(state: Container['state']): string {
  if (state.kind === 'exited') {
    const message = state.message === '' ? '' : `: ${state.message}`
    return `exit code ${state.exitCode}${state.reason === '' ? '' : ` (${state.reason})`}${message}`
  }
  if (state.kind === 'created' && state.failure !== undefined) return `cannot be started: ${state.failure}`
  if (state.kind === 'created') return 'made, and nobody has asked for its start yet'
  return ''
}
