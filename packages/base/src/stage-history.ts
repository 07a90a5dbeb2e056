// What has ended and is still worth telling: slow work, and work that failed on the way.
import { type EndedStage, listenToStages, type Subject } from './stages.ts'

export interface PastWork extends EndedStage {
  readonly owner: string
  readonly subject: Subject
  /** Reading of the monotonic clock in milliseconds. */
  readonly startedMs: number
}

const slowMs = 1000

/** The last `size` of them, from now on until disposed. What failed before any part of it began is not among them: its caller was told all there is. */
export class StageHistory implements Disposable {
  readonly #past: PastWork[] = []
  readonly #listening: Disposable

  constructor(size = 256) {
    this.#listening = listenToStages({
      ended: (stage, { error, isRoot, hadParts }) => {
        const { kind, on, done, owner, subject, isSession, startedMs, endedMs = startedMs } = stage
        const ms = endedMs - startedMs
        if (!isRoot || !hadParts || ((ms < slowMs || isSession) && error === undefined)) return
        this.#past.push({ kind, on, done, owner, subject, startedMs, ms, error })
        if (this.#past.length > size) this.#past.shift()
      },
    })
  }

  /** The latest last. */
  past(): readonly PastWork[] {
    return this.#past
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }
}
