import type { PipeEnds } from './host.ts'
import { callFailed, libc } from './libc.ts'

// fcntl.h on Linux; node:os does not name it.
const O_CLOEXEC = 0o2000000

/** pipe2(2). Throws `internal` when there are no descriptors left. */
export function pipe(): PipeEnds {
  const ends = new Int32Array(2)
  if (libc.pipe2(ends, O_CLOEXEC) !== 0) throw callFailed('make a pipe')
  const [read, write] = ends
  // The array has two elements.
  return { read: read as number, write: write as number }
}
