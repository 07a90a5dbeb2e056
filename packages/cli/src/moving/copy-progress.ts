// What is seen of a copy while it runs: bars on a terminal, a line for each blob elsewhere. The result alone is on standard output.
import { create } from '@coracle/cri-api/json'
import { LayerState, type PullProgress, PullProgressSchema } from '@coracle/cri-api/progress'
import type { CopyOptions } from '@coracle/image/moving'
import type { Context } from '../context.ts'
import { paintUntil } from '../pull/paint.ts'
import { Speeds } from '../pull/speeds.ts'
import { tellBlobs } from './tell-blobs.ts'

export type CopyView = {
  readonly hooks: Pick<CopyOptions, 'onBlobs' | 'onBytes' | 'onBlob'>
  /** What goes on before and beside the copying of blobs; empty: nothing. */
  readonly doing: (words: string) => void
  /** What somebody else says of the same layers, from now on. */
  readonly follow: (progress: PullProgress) => void
  /** A line on standard error that stays. */
  readonly note: (line: string) => void
}

export type CopyTitle = {
  readonly title: string
  /** Says nothing on the way; notes are told all the same. */
  readonly quiet: boolean
  /** Where standard error is no terminal: a line for each blob. */
  readonly lines: boolean
}

/** Shows the work until it ends, well or not. */
export async function withProgress<T>(
  { err }: Pick<Context, 'err'>,
  { title, quiet, lines }: CopyTitle,
  work: (view: CopyView) => Promise<T>,
): Promise<T> {
  if (quiet || !err.isTerminal) {
    const hooks = { onBlob: tellBlobs(err, quiet || !lines) }
    return work({ hooks, doing: () => {}, follow: () => {}, note: (line) => err.line(line) })
  }
  const copied = new CopiedBlobs()
  const finished = new AbortController()
  const notes: string[] = []
  let doing = ''
  const picture = {
    title: () => (doing === '' ? title : `${title}: ${doing}`),
    progress: () => copied.progress(),
    speeds: copied.speeds,
  }
  const painted = paintUntil(err, picture, finished.signal)
  try {
    return await work({
      hooks: copied.hooks,
      doing: (words) => {
        doing = words
      },
      follow: (progress) => copied.follow(progress),
      note: (line) => notes.push(line),
    })
  } finally {
    finished.abort()
    await painted
    for (const note of notes) err.line(note)
  }
}

type Blob = { readonly digest: string; readonly totalBytes: bigint; state: LayerState; downloadedBytes: bigint }

/** The blobs of a copy in the terms of a pull: what bars are drawn of. */
export class CopiedBlobs {
  readonly speeds = new Speeds()
  readonly #blobs = new Map<string, Blob>()
  #followed: PullProgress | undefined

  readonly hooks: CopyView['hooks'] = {
    onBlobs: (blobs) => {
      for (const { digest, size } of blobs)
        this.#blobs.set(digest, { digest, totalBytes: BigInt(size), state: LayerState.WAITING, downloadedBytes: 0n })
      this.#note()
    },
    onBytes: ({ digest }, bytes) => this.#change(digest, LayerState.DOWNLOADING, BigInt(bytes)),
    onBlob: ({ digest, size }, state) =>
      this.#change(digest, state === 'copied' ? LayerState.DONE : LayerState.EXISTS, BigInt(size)),
  }

  follow(progress: PullProgress): void {
    this.#followed = progress
  }

  progress(): PullProgress {
    return this.#followed ?? create(PullProgressSchema, { layers: [...this.#blobs.values()].map((blob) => ({ ...blob })) })
  }

  #change(digest: string, state: LayerState, downloadedBytes: bigint): void {
    const blob = this.#blobs.get(digest)
    if (blob !== undefined) this.#blobs.set(digest, { ...blob, state, downloadedBytes })
    this.#note()
  }

  #note(): void {
    this.speeds.note(this.progress(), performance.now())
  }
}
