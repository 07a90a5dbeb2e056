// Small files on their way to the thread that makes them (file-thread.ts): batches in memory that both threads see, in a ring. The first
// word counts batches handed over, the second those that are done; the third tells that one failed.
export const batchBytes = 128 * 1024
export const batches = 8
export const headerBytes = 8
/** mode, uid, gid, nanoseconds, size: 4 bytes each; seconds: 8; length of the path: 4. */
export const recordBytes = 32
export const errorBytes = 8192

export interface RingMemory {
  readonly control: SharedArrayBuffer
  readonly data: SharedArrayBuffer
  /** What failed: its length in control[3], JSON of code, message and path (Latin-1). */
  readonly error: SharedArrayBuffer
}

export const control = { given: 0, done: 1, failed: 2, errorLength: 3 } as const

export const makeRing = (): RingMemory => ({
  control: new SharedArrayBuffer(16),
  data: new SharedArrayBuffer(batchBytes * batches),
  error: new SharedArrayBuffer(errorBytes),
})

export interface RingFailure {
  readonly code: string
  readonly message: string
  readonly path: string
}
