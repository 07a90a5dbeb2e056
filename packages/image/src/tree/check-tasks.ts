// What the daemon asks the checking program, and what it answers.

export interface CheckTasks {
  /** Root of the store; the other paths are relative to it. */
  readonly store: string
  /** Reads all content too; else names, types, owners, modes, sizes and times. */
  readonly deep: boolean
  readonly tasks: readonly CheckTask[]
}

export interface CheckTask {
  readonly number: number
  readonly directory: string
  readonly record: string
  /** Undefined: the layer was unpacked before there were records, and only its directory can be looked for. */
  readonly recordDigest: string | undefined
  /** The layer's compressed form, where that is kept, and its digest. Read by a deep check only. */
  readonly blob: { readonly path: string; readonly digest: string }
  /** What its archive can be made again from; no digest: there is none, or it is not known. Read by a deep check only. */
  readonly skeleton: { readonly path: string; readonly digest: string | undefined }
}

export interface LayerVerdict {
  readonly number: number
  /** What is wrong, one line each, the first twenty. */
  readonly problems: readonly string[]
  readonly problemCount: number
  readonly files: number
  readonly bytesRead: number
  /** The compressed form that is kept has other bytes. */
  readonly blobDamaged: boolean
  /** What is wrong with its skeleton. */
  readonly skeletonProblem?: string | undefined
}
