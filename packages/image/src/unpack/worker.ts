// The unpack worker: a process of its own that shuts itself into the staging directory before it reads the first byte of a layer.
// All that it needs later is loaded before; afterwards its own thread sees nothing but the layers being unpacked.
// NOTE: libuv's pool threads are started before and keep the real root: they look up host names and inflate, and touch no layer.
import { closeSync, constants, openSync, statfsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import { loadIsal } from '@coracle/host/isal'
import { loadUnpackSyscalls, type UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { createRegistryClient } from '../registry/client.ts'
import { SkeletonRecorder } from '../skeleton/recorder.ts'
import { TreeRecorder } from '../tree/recorder.ts'
import { Extractor } from './extract.ts'
import { blobName, type Command, type LayerJob, lineReader, type Reply, recordName, skeletonName, toPlain } from './messages.ts'
import { spooledBlob } from './spooled-blob.ts'
import { unpackLayer } from './unpack-layer.ts'

const sys: UnpackSyscalls = loadUnpackSyscalls()
const createGzipReader = loadIsal()
const running = new Map<number, AbortController>()
const downloaded = new Map<number, number>()
let stagingFd = -1
/** Nothing is unpacked before it has resolved. */
let confined: Promise<void> = Promise.reject(new Error('not started'))
confined.catch(() => {})

const send = (reply: Reply): void => void process.stdout.write(`${JSON.stringify(reply)}\n`)

async function start(stagingDirectory: string): Promise<void> {
  // The first asynchronous call starts the pool's threads.
  await stat(stagingDirectory)
  flushCompileCache()
  process.umask(0)
  stagingFd = openSync(stagingDirectory, 'r')
  sys.confine(stagingFd)
  send({ type: 'ready' })
}

async function unpack(id: number, job: LayerJob, signal: AbortSignal): Promise<void> {
  await confined
  signal.throwIfAborted()
  sys.enter(stagingFd)
  const fd = openSync(job.directory, 'r')
  const client = createRegistryClient(job.source)
  const extractor = new Extractor(sys, job.limits, { freeBytes, onManyFiles: () => send({ type: 'files', id }) })
  const recorder = new TreeRecorder(extractor, openSync(recordName(job.directory), 'wx', 0o600))
  const skeleton = new SkeletonRecorder(openSync(skeletonName(job.directory), 'wx', 0o600))
  const keptFd = job.keepBlob ? openSync(blobName(job.directory), 'wx', 0o600) : undefined
  const spooledFd = job.spooled === undefined ? undefined : openSync(job.spooled, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const layer = await unpackLayer({
      job,
      client,
      extractor,
      recorder,
      skeleton,
      ...(keptFd === undefined ? {} : { keptFd }),
      ...(spooledFd === undefined ? {} : { content: spooledBlob(spooledFd) }),
      createGzipReader,
      enter: () => sys.enter(fd),
      onDownloaded: (bytes) => downloaded.set(id, bytes),
      signal,
    })
    send({ type: 'done', id, layer })
  } finally {
    client.close()
    closeSync(fd)
    recorder.abandon()
    skeleton.abandon()
    for (const other of [keptFd, spooledFd]) if (other !== undefined) closeSync(other)
    downloaded.delete(id)
  }
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync('/')
  return bavail * bsize
}

function handle(command: Command): void {
  if (command.type === 'start') {
    confined = start(command.stagingDirectory)
    confined.catch(die)
  } else if (command.type === 'cancel') running.get(command.id)?.abort(new DOMException('canceled', 'AbortError'))
  else begin(command.id, command.job)
}

function begin(id: number, job: LayerJob): void {
  const controller = new AbortController()
  // At once, so that a cancellation finds it also while we start.
  running.set(id, controller)
  unpack(id, job, controller.signal)
    .catch((err) => send({ type: 'failed', id, error: toPlain(err) }))
    .finally(() => running.delete(id))
}

function die(err: unknown): void {
  process.stderr.write(`${err instanceof Error ? err.stack : String(err)}\n`)
  process.exit(1)
}

setInterval(() => {
  for (const [id, downloadedBytes] of downloaded) send({ type: 'progress', id, downloadedBytes })
}, 200).unref()

process.stdin.on('data', lineReader(handle))
// The daemon is gone: nobody wants what we do.
process.stdin.on('end', () => process.exit(0))
process.stdin.on('error', () => process.exit(0))
process.stdout.on('error', () => process.exit(0))
