// What is under way, where it is, since when and on what. Kept while it runs, for whoever asks why something hangs; told when it
// ends, to metrics and traces. Carried by the asynchronous context: work that outlives its caller stays known.
import { AsyncLocalStorage } from 'node:async_hooks'
import { explain } from './errors.ts'

/** What work is about: `podId`, `pod` (namespace/name), `containerId`, `container`, `image`. */
export type Subject = Readonly<Record<string, string>>

/** A stage that has ended, as its parent remembers it. */
export interface EndedStage {
  readonly kind: string
  readonly on: string
  readonly ms: number
  readonly error: string | undefined
  /** Its own parts. */
  readonly done: readonly EndedStage[]
}

/** Where a stage is in a distributed trace (https://www.w3.org/TR/trace-context/). */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly sampled: boolean
}

export interface StageOptions {
  readonly subject?: Subject
  /** Who asked for it: `request r12`. Inherited. */
  readonly owner?: string
  /** What it waits for, when that is work of our own. */
  readonly waitsFor?: () => Stage | undefined
  /** How far it is, in words. */
  readonly detail?: () => string
  /** It is a call of somebody outside, not a part of our own work. */
  readonly isCall?: boolean
  /** It lasts as long as somebody outside likes: never slow, never stuck. */
  readonly isSession?: boolean
  /** The caller's place in its trace, as it came. */
  readonly traceparent?: string | undefined
}

/** Ended and failed parts that a stage remembers, and how much of their errors: programs may say a lot. */
const rememberedParts = 16
const errorMaxLength = 2000

export class Stage {
  /** One of a small vocabulary: it is a label of metrics. */
  readonly kind: string
  /** What it works on, for people. */
  on: string
  /** Reading of the monotonic clock in milliseconds. */
  readonly startedMs: number
  readonly owner: string
  readonly isCall: boolean
  readonly isSession: boolean
  readonly waitsFor: (() => Stage | undefined) | undefined
  detail: (() => string) | undefined
  readonly traceparent: string | undefined
  subject: Subject
  trace: TraceContext | undefined
  endedMs: number | undefined
  /** Parts that have ended, the latest last. */
  readonly done: EndedStage[] = []
  readonly #open = new Set<Stage>()
  readonly #wasPart: boolean
  #parent: Stage | undefined

  constructor(kind: string, on: string, options: StageOptions, around: Stage | undefined) {
    this.kind = kind
    this.on = on
    this.startedMs = performance.now()
    this.owner = options.owner ?? around?.owner ?? ''
    this.isCall = options.isCall ?? false
    this.isSession = options.isSession ?? false
    this.waitsFor = options.waitsFor
    this.detail = options.detail
    this.traceparent = options.traceparent
    this.subject = options.subject === undefined ? (around?.subject ?? {}) : { ...around?.subject, ...options.subject }
    // What is over holds no new work; and nothing that lives long may hold on to it.
    this.#parent = around?.endedMs === undefined ? around : undefined
    this.#wasPart = around !== undefined
    if (this.#parent === undefined) roots.add(this)
    else this.#parent.#open.add(this)
  }

  /** Parts that are under way, the oldest first. */
  get open(): Iterable<Stage> {
    return this.#open
  }

  /** It began as a part of something that has ended since, such as a call whose caller left. */
  get isOrphan(): boolean {
    return this.#wasPart && this.#parent === undefined
  }

  end(words: string | undefined): void {
    if (this.endedMs !== undefined) return
    const error = words?.slice(0, errorMaxLength)
    this.endedMs = performance.now()
    const parent = this.#parent
    if (parent === undefined) roots.delete(this)
    else {
      parent.#open.delete(this)
      const { kind, on, done, startedMs, endedMs } = this
      parent.done.push({ kind, on, ms: endedMs - startedMs, error, done })
      if (parent.done.length > rememberedParts) parent.done.shift()
    }
    const hadParts = this.done.length + this.#open.size > 0
    // What goes on without it is on its own from now.
    for (const part of this.#open) {
      part.#parent = undefined
      roots.add(part)
    }
    this.#open.clear()
    this.#parent = undefined
    for (const listener of listeners) listener.ended?.(this, { error, isRoot: parent === undefined, hadParts })
  }
}

export interface StageEnd {
  readonly error: string | undefined
  /** It was part of nothing else at its end. */
  readonly isRoot: boolean
  /** Some part of it had begun. */
  readonly hadParts: boolean
}

export interface StageListener {
  started?(stage: Stage, around: Stage | undefined): void
  ended?(stage: Stage, how: StageEnd): void
}

const current = new AsyncLocalStorage<Stage>()
const roots = new Set<Stage>()
const listeners = new Set<StageListener>()

/** The stage that the caller is in; it may have ended. */
export const currentStage = (): Stage | undefined => current.getStore()

/** All that is under way and part of nothing else, the oldest first. */
export const stagesUnderWay = (): Iterable<Stage> => roots

/** Tells `listener` of every start and end until the result is disposed. It must not throw. */
export function listenToStages(listener: StageListener): Disposable {
  listeners.add(listener)
  return { [Symbol.dispose]: () => void listeners.delete(listener) }
}

/** Runs `work` as a stage: a part of the one that is current, else one of its own. */
export async function stage<T>(
  what: readonly [kind: string, on: string],
  work: (stage: Stage) => Promise<T> | T,
  options: StageOptions = {},
): Promise<T> {
  const own = beginStage(what, options)
  try {
    const result = await current.run(own, work, own)
    own.end(undefined)
    return result
  } catch (err) {
    own.end(explain(err))
    throw err
  }
}

/** For what does not end with a function; `inStage` runs parts of it. */
export function beginStage([kind, on]: readonly [kind: string, on: string], options: StageOptions = {}): Stage {
  const around = current.getStore()
  const own = new Stage(kind, on, options, around)
  for (const listener of listeners) listener.started?.(own, around)
  return own
}

export const inStage = <T>(own: Stage, work: () => T): T => current.run(own, work)

/** Remembers in the current stage what was tried in it and failed, when that is no stage of its own. */
export function noteFailedPart([kind, on]: readonly [kind: string, on: string], err: unknown): void {
  const own = current.getStore()
  if (own === undefined || own.endedMs !== undefined) return
  own.done.push({ kind, on, ms: performance.now() - own.startedMs, error: explain(err).slice(0, errorMaxLength), done: [] })
  if (own.done.length > rememberedParts) own.done.shift()
}

/** Adds to what the current stage is about. */
export function noteSubject(subject: Subject): void {
  const own = current.getStore()
  if (own !== undefined) own.subject = { ...own.subject, ...subject }
}
