// The unpack worker: a process of its own that shuts itself into the staging directory before it reads the first byte of a layer.
// All that it needs later is loaded before; afterwards its own thread sees nothing but the layers being unpacked.
// NOTE: libuv's pool threads are started before and keep the real root: they look up host names and inflate, and touch no layer.
import { closeSync, constants, openSync, statfsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import { CodedError, codeOf, explain } from '@coracle/base/errors'
import { loadCrc32, loadIsal } from '@coracle/host/isal'
import { loadUnpackSyscalls, type UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { hexOf } from '@coracle/oci-spec/digest'
import { createRegistryClient } from '../registry/client.ts'
import { SkeletonRecorder } from '../skeleton/recorder.ts'
import { TreeRecorder } from '../tree/recorder.ts'
import { FileThread } from './beside.ts'
import { downloadLayer } from './download.ts'
import { Extractor } from './extract.ts'
import { Interrupted } from './interrupted.ts'
import { LinksBelow } from './links-below.ts'
import {
  blobName,
  type Command,
  type LayerJob,
  type LayerPlace,
  lineReader,
  type Reply,
  recordName,
  skeletonName,
  toPlain,
} from './messages.ts'
import { spooledBlob } from './spooled-blob.ts'
import { unpackLayer } from './unpack-layer.ts'

const defaultKeptAfterMs = 3000
const worthAThreadBytes = 1024 * 1024
const sys: UnpackSyscalls = loadUnpackSyscalls()
const createGzipReader = loadIsal()
const crc32 = loadCrc32()
const running = new Map<number, AbortController>()
const downloaded = new Map<number, number>()
let fileThread: FileThread | undefined
let stagingFd = -1
let downloadsFd = -1
const layerDirectoryFds: number[] = []
/** Nothing is unpacked before it has resolved. */
let confined: Promise<void> = Promise.reject(new Error('not started'))
confined.catch(() => {})

type StartCommand = Extract<Command, { type: 'start' }>

const send = (reply: Reply): void => void process.stdout.write(`${JSON.stringify(reply)}\n`)

async function start({ stagingDirectory, downloadsDirectory, layerDirectories, hasFileThread }: StartCommand): Promise<void> {
  // The first asynchronous call starts the pool's threads.
  await stat(stagingDirectory)
  flushCompileCache()
  process.umask(0)
  stagingFd = openSync(stagingDirectory, 'r')
  if (hasFileThread) fileThread = new FileThread()
  if (downloadsDirectory !== undefined) downloadsFd = openSync(downloadsDirectory, 'r')
  layerDirectoryFds.push(...(layerDirectories ?? []).map((path) => openSync(path, 'r')))
  sys.confine(stagingFd)
  send({ type: 'ready' })
}

async function unpack(id: number, job: LayerJob, signal: AbortSignal): Promise<void> {
  await confined
  signal.throwIfAborted()
  sys.enter(stagingFd)
  const fd = openSync(job.directory, 'r')
  const client = createRegistryClient(job.source, { bulk: true })
  // Enough of it that it may be many files; which layer needs it most is not known.
  const beside = job.blob.size >= worthAThreadBytes && job.below === undefined ? fileThread?.take(fd) : undefined
  const extractor = new Extractor(sys, job.limits, { freeBytes, inodes, onManyFiles: () => send({ type: 'files', id }), beside })
  const recorder = new TreeRecorder(extractor, openSync(recordName(job.directory), 'wx', 0o600), crc32)
  const skeleton = new SkeletonRecorder(openSync(skeletonName(job.directory), 'wx', 0o600))
  const keptFd = job.keepBlob ? openSync(blobName(job.directory), 'wx', 0o600) : undefined
  const spooledFd = job.spooled === undefined ? undefined : openSync(job.spooled, constants.O_RDONLY | constants.O_NOFOLLOW)
  const interrupted = job.spooled === undefined ? interruptedOf(job) : undefined
  const below: number[] = []
  try {
    for (const layer of job.below ?? []) below.unshift(openLayer(layer))
    const layer = await unpackLayer({
      job,
      extractor,
      recorder,
      skeleton,
      ...(below.length === 0 ? {} : { sink: new LinksBelow({ sys, own: fd, below, sink: recorder }) }),
      ...(keptFd === undefined ? {} : { keptFd }),
      content: spooledFd === undefined ? downloadLayer({ job, client, interrupted, signal }) : spooledBlob(spooledFd),
      createGzipReader,
      enter: () => sys.enter(fd),
      onDownloaded: (bytes) => {
        downloaded.set(id, bytes)
        if (bytes >= job.blob.size) send({ type: 'progress', id, downloadedBytes: bytes })
      },
      signal,
    })
    interrupted?.remove()
    send({ type: 'done', id, layer })
  } catch (err) {
    throw interrupted === undefined ? err : afterInterruption(err, interrupted)
  } finally {
    beside?.[Symbol.dispose]()
    interrupted?.close()
    client.close()
    closeSync(fd)
    recorder.abandon()
    skeleton.abandon()
    for (const other of [keptFd, spooledFd, ...below]) if (other !== undefined) closeSync(other)
    downloaded.delete(id)
  }
}

function openLayer({ place, name }: LayerPlace): number {
  // As many as the daemon speaks of.
  sys.enter(layerDirectoryFds[place] as number)
  return openSync(name, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

function interruptedOf({ blob, diffId, download }: LayerJob): Interrupted | undefined {
  if (downloadsFd < 0) return undefined
  // Of one content no two downloads run at once; a blob may be claimed to be several contents.
  const name = `${hexOf(blob.digest)}-${hexOf(diffId).slice(0, 16)}`
  return new Interrupted(
    { enter: () => sys.enter(downloadsFd), name, afterMs: download?.keptAfterMs ?? defaultKeptAfterMs },
    blob,
  )
}

// What came can be of use only as long as nothing says that it is wrong.
function afterInterruption(err: unknown, interrupted: Interrupted): unknown {
  const wasFound = interrupted.isFound
  const isDoubtful = ['data_loss', 'invalid_argument'].includes(codeOf(err))
  if (isDoubtful) interrupted.remove()
  if (!isDoubtful || !wasFound) return err
  // Nothing that was kept is synced: what was wrong may be our part. No cause: the registry is not to blame yet.
  const text = `what was kept of an interrupted download does not fit, all is downloaded again: ${explain(err)}`
  return new CodedError('unavailable', text)
}

function inodes(): { free: number; total: number } {
  const { files, ffree } = statfsSync('/')
  return { free: ffree, total: files }
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync('/')
  return bavail * bsize
}

function handle(command: Command): void {
  if (command.type === 'start') {
    confined = start(command)
    confined.catch(die)
  } else if (command.type === 'cancel') running.get(command.id)?.abort(new DOMException('canceled', 'AbortError'))
  else begin(command.id, command.job)
}

function begin(id: number, job: LayerJob): void {
  const controller = new AbortController()
  // At once, so that a cancellation finds it also while we start.
  running.set(id, controller)
  unpack(id, job, controller.signal)
    .catch((err) => send({ type: 'failed', id, error: toPlain(err, '/') }))
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
