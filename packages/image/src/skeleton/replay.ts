// The daemon's side of making a layer's archive again.
import { fileURLToPath } from 'node:url'
import { CodedError } from '@coracle/base/errors'
import type { Processes } from '@coracle/host'
import type { SkeletonTask } from './task.ts'

const program = fileURLToPath(new URL('./program.ts', import.meta.url))
const maxStderrBytes = 8192

/** The archive of an unpacked layer. Throws `data_loss` at the end when it is not the one that was unpacked: what came before is void. */
export async function* replayArchive(
  processes: Pick<Processes, 'start'>,
  task: SkeletonTask & { readonly cacheDirectory: string },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { cacheDirectory, ...asked } = task
  await using child = await processes.start({
    argv: [process.execPath, '--disable-warning=ExperimentalWarning', program],
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    env: { NODE_COMPILE_CACHE: cacheDirectory },
  })
  const [stdin, , stderr, output] = child.stdio
  let told = ''
  stderr?.on('data', (chunk: Buffer) => {
    told = (told + chunk.toString('utf8')).slice(-maxStderrBytes)
  })
  stdin?.on('error', () => {})
  if (stdin && 'write' in stdin) stdin.end(JSON.stringify(asked))
  const onAbort = () => child.kill('SIGKILL')
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    // What it was asked for as a pipe is readable.
    if (output && Symbol.asyncIterator in output) for await (const chunk of output) yield chunk as Buffer
    const { exitCode } = await child.exited
    signal.throwIfAborted()
    if (exitCode !== 0)
      throw new CodedError('data_loss', `make the archive of layer ${task.diffId} again: ${told.trim() || 'its process ended'}`)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
