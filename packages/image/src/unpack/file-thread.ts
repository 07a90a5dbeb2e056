// The second thread of an unpack worker: makes small files of which the first one knows that nothing else of the archive is in their way.
// Started before the first thread confines itself; confines itself as that one does before it makes anything.
import { closeSync, constants, fchmodSync, fchownSync, lstatSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { workerData } from 'node:worker_threads'
import { isErrno } from '@coracle/base/errno'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import {
  batchBytes,
  batches,
  control,
  errorBytes,
  headerBytes,
  type RingFailure,
  type RingMemory,
  recordBytes,
} from './file-ring.ts'

const sys = loadUnpackSyscalls()
const memory = workerData as RingMemory
const words = new Int32Array(memory.control)
const data = Buffer.from(memory.data)
const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
let isConfined = false
// The thread never ends by itself, which is when this would be done.
flushCompileCache()

function makeFile(at: number): number {
  const [mode, uid, gid] = [data.readUInt32LE(at), data.readUInt32LE(at + 4), data.readUInt32LE(at + 8)]
  const size = data.readUInt32LE(at + 16)
  const pathStart = at + recordBytes
  const bodyStart = pathStart + data.readUInt32LE(at + 28)
  const path = Buffer.from(data.subarray(pathStart, bodyStart))
  try {
    const fd = open(path, mode & 0o777)
    try {
      for (let done = 0; done < size; ) done += writeSync(fd, data, bodyStart + done, size - done)
      if (uid !== 0 || gid !== 0) fchownSync(fd, uid, gid)
      // After chown(2), which takes setuid and setgid away.
      if (mode & 0o7000) fchmodSync(fd, mode)
      sys.setTimeOf(fd, { seconds: data.readDoubleLE(at + 20), nanoseconds: data.readUInt32LE(at + 12) })
    } finally {
      closeSync(fd)
    }
  } catch (err) {
    fail(err, path)
  }
  return bodyStart + size
}

// What is there came earlier in the archive and is no directory that the first thread knows.
function open(path: Buffer, mode: number): number {
  try {
    return openSync(path, flags, mode)
  } catch (err) {
    if (!isErrno(err, 'EEXIST') || lstatSync(path).isDirectory()) throw err
    unlinkSync(path)
    return openSync(path, flags, mode)
  }
}

function fail(err: unknown, path: Buffer): void {
  if (Atomics.load(words, control.failed) !== 0) return
  const code = err instanceof Error && 'code' in err ? String(err.code) : ''
  const failure: RingFailure = {
    code,
    message: err instanceof Error ? err.message.slice(0, 200) : '',
    path: path.subarray(0, 200).toString('latin1'),
  }
  const length = Buffer.from(memory.error).write(JSON.stringify(failure).slice(0, errorBytes))
  Atomics.store(words, control.errorLength, length)
  Atomics.store(words, control.failed, 1)
}

function takeBatch(number: number): void {
  const start = (number % batches) * batchBytes
  const directoryFd = data.readInt32LE(start)
  const count = data.readInt32LE(start + 4)
  if (Atomics.load(words, control.failed) !== 0) return
  if (isConfined) sys.enter(directoryFd)
  else sys.confine(directoryFd)
  isConfined = true
  let at = start + headerBytes
  for (let i = 0; i < count; i++) at = makeFile(at)
}

for (;;) {
  const done = Atomics.load(words, control.done)
  Atomics.wait(words, control.given, done)
  if (Atomics.load(words, control.given) === done) continue
  try {
    takeBatch(done)
  } catch (err) {
    fail(err, Buffer.from('.'))
  }
  Atomics.store(words, control.done, done + 1)
  Atomics.notify(words, control.done)
}
