// Writes the archive of an unpacked layer to descriptor 3, in a process of its own that has shut itself into the layer's directory.
// What to do comes as JSON on standard input.
// Exit code 0: the archive is complete and has that digest. Else the reason is on standard error.
import { createHash } from 'node:crypto'
import { createReadStream, openSync, readFileSync, writeSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setPriority } from 'node:os'
import zlib from 'node:zlib'
import { CodedError, explain } from '@coracle/base/errors'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { algorithmOf } from '@coracle/oci-spec/digest'
import { playSkeleton } from './player.ts'
import type { SkeletonTask } from './task.ts'

// Not standard output: Node makes that non-blocking, and whoever has to wait for room then can only guess how long.
const outputFd = 3
const bufferBytes = 256 * 1024
// Containers come first.
const priority = 10

async function main(): Promise<void> {
  // Our own daemon's words.
  const { directory, skeleton, diffId } = JSON.parse(readFileSync(0, 'utf8')) as SkeletonTask
  setPriority(priority)
  const sys = loadUnpackSyscalls()
  const skeletonFd = openSync(skeleton, 'r')
  // The first asynchronous call starts the pool's threads, which keep the real root and touch only what is open.
  await stat(directory)
  sys.confine(openSync(directory, 'r'))
  const frames = createReadStream('', { fd: skeletonFd }).pipe(zlib.createZstdDecompress())
  const hash = createHash(algorithmOf(diffId))
  const output = new Output()
  await playSkeleton(frames, (bytes) => {
    hash.update(bytes)
    output.write(bytes)
  })
  output.flush()
  const found = `${algorithmOf(diffId)}:${hash.digest('hex')}`
  if (found !== diffId)
    throw new CodedError('data_loss', `the files of layer ${diffId} are not those of its archive: its digest would be ${found}`)
}

/** Small pieces together, large ones as they are. */
class Output {
  readonly #buffer = Buffer.allocUnsafe(bufferBytes)
  #fill = 0

  write(bytes: Buffer): void {
    if (bytes.length > bufferBytes - this.#fill) this.flush()
    if (bytes.length >= bufferBytes) writeAll(bytes)
    else this.#fill += bytes.copy(this.#buffer, this.#fill)
  }

  flush(): void {
    writeAll(this.#buffer.subarray(0, this.#fill))
    this.#fill = 0
  }
}

function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(outputFd, bytes, at, bytes.length - at)
}

try {
  await main()
} catch (err) {
  process.stderr.write(explain(err))
  process.exitCode = 1
}
