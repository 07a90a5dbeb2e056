// What happens to pods and containers, told from the changes of their records: complete, in order, and to everybody alike.
import { nowNs } from '@coracle/base/clock'
import { CodedError } from '@coracle/base/errors'
import type { ContainerId, PodId } from '@coracle/base/ids'
import { type Container, isContainerVisible, visibleContainersOf } from '../model/container.ts'
import { isPodVisible, isReady, type Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'

export type PodEventKind = 'created' | 'started' | 'stopped' | 'deleted'

export interface PodEvent {
  /** Of the container, or of the pod itself. */
  readonly id: ContainerId | PodId
  readonly kind: PodEventKind
  /** Greater than that of every event before, unless the clock was set back. */
  readonly createdAt: bigint
  /** The pod and all its containers, the newest first, right after the change. A deleted pod is told as it was. */
  readonly pod: Pod | undefined
  readonly containers: readonly Container[]
}

export interface Events {
  /**
   * What happens from now on, until `signal` aborts or `close`; for a minute after the start also, before that, what had happened while the
   * daemon was down: who follows events across its restart asks for them again only then. Nobody waits for a slow subscriber: with 1,000 events
   * unread it gets `resource_exhausted`, and must look at the lists again.
   */
  subscribe(signal: AbortSignal): AsyncIterableIterator<PodEvent>
  /** What was to be found out of the time before has been. */
  recovered(): void
  /** Since the start of the process; subscribers now. */
  statistics(): { readonly subscribers: number; readonly events: number; readonly cutOff: number }
  /** Ends all subscriptions, and those to come. */
  close(): void
}

const maxUnread = 1000
const recallMs = 60_000

/** To be called before records are recovered. */
export function createEvents({ pods, containers }: Pick<Services, 'pods' | 'containers'>): Events {
  const subscribers = new Set<Subscriber>()
  /** Found by the recovery; undefined when they are of no more use, or too many for anybody. */
  let found: PodEvent[] | undefined = []
  let isRecovered = false
  let isClosed = false
  let [events, cutOff] = [0, 0]
  const publish = (id: PodEvent['id'], kinds: readonly PodEventKind[], pod: Pod | undefined) => {
    events += kinds.length
    if ((subscribers.size === 0 && isRecovered) || kinds.length === 0) return
    const own = visibleContainersOf(containers.all(), pod?.id)
    for (const kind of kinds) {
      const event: PodEvent = { id, kind, createdAt: nowNs(), pod, containers: own }
      if (!isRecovered && found !== undefined) found = found.length < maxUnread / 2 ? [...found, event] : undefined
      for (const subscriber of subscribers) {
        if (subscriber.push(event)) continue
        subscribers.delete(subscriber)
        cutOff++
      }
    }
  }
  pods.onChange((before, after) => publish((after ?? before).id, podKinds(before, after), after ?? before))
  containers.onChange((before, after) => {
    const { id, podId } = after ?? before
    publish(id, containerKinds(before, after), pods.find(podId))
  })
  return {
    subscribe: (signal) => {
      const subscriber = new Subscriber(isClosed ? [] : found)
      if (isClosed) subscriber.end()
      else subscribers.add(subscriber)
      return subscriber.read(signal, () => subscribers.delete(subscriber))
    },
    recovered: () => {
      isRecovered = true
      setTimeout(() => {
        found = undefined
      }, recallMs).unref()
    },
    statistics: () => ({ subscribers: subscribers.size, events, cutOff }),
    close: () => {
      isClosed = true
      for (const subscriber of subscribers) subscriber.end()
      subscribers.clear()
    },
  }
}

/** A record that nobody may see yet does not exist for subscribers. */
export function podKinds(before: Pod | undefined, after: Pod | undefined): readonly PodEventKind[] {
  const was = before !== undefined && isPodVisible(before) ? before : undefined
  const is = after !== undefined && isPodVisible(after) ? after : undefined
  if (is === undefined) return was === undefined ? [] : ['deleted']
  if (was === undefined) return ['created', isReady(is) ? 'started' : 'stopped']
  if (isReady(was) === isReady(is)) return []
  return [isReady(is) ? 'started' : 'stopped']
}

export function containerKinds(before: Container | undefined, after: Container | undefined): readonly PodEventKind[] {
  const was = before !== undefined && isContainerVisible(before) ? before.state.kind : undefined
  const is = after !== undefined && isContainerVisible(after) ? after.state.kind : undefined
  if (is === undefined) return was === undefined ? [] : ['deleted']
  if (was === is) return []
  const kinds: PodEventKind[] = was === undefined ? ['created'] : []
  if (is === 'running') kinds.push('started')
  if (is === 'exited') kinds.push('stopped')
  return kinds
}

class Subscriber {
  #unread: PodEvent[]
  #state: 'open' | 'ended' | 'overrun' = 'open'
  #wake = Promise.withResolvers<void>()

  constructor(first: readonly PodEvent[] = []) {
    this.#unread = [...first]
  }

  /** False when it has too much unread; it is cut off then. */
  push(event: PodEvent): boolean {
    if (this.#unread.length >= maxUnread) {
      this.#state = 'overrun'
      this.#unread = []
    } else this.#unread.push(event)
    this.#wake.resolve()
    return this.#state === 'open'
  }

  end(): void {
    this.#state = 'ended'
    this.#wake.resolve()
  }

  async *read(signal: AbortSignal, leave: () => void): AsyncGenerator<PodEvent, void> {
    const onAbort = () => {
      leave()
      this.#wake.resolve()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      while (!signal.aborted) {
        for (let next = this.#unread.shift(); next !== undefined; next = this.#unread.shift()) yield next
        if (this.#state === 'overrun')
          throw new CodedError('resource_exhausted', `more than ${maxUnread} events were unread: list everything again`)
        if (this.#state === 'ended') return
        this.#wake = Promise.withResolvers()
        await this.#wake.promise
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      leave()
    }
  }
}
