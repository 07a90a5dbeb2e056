// A file system whose server can stop answering, as an NFS server that is gone: the kernel's FUSE protocol (linux/fuse.h) by hand.
//   node fuse-server.ts MOUNTPOINT
// One directory with one file. Says "mounted" when it serves. A number N on its stdin lets it answer N further requests and then none: they are
// taken and wait for ever, where no signal reaches who asked. The end of stdin ends it, and fails what waits.
import { openSync, readSync, writeSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { createHost } from '@coracle/host'

const opcode = {
  forget: 2,
  getattr: 3,
  open: 14,
  read: 15,
  release: 18,
  init: 26,
  opendir: 27,
  releasedir: 29,
  batchForget: 42,
} as const
const LOOKUP = 1
const READDIR = 28
const STATFS = 17
const ACCESS = 34
const INTERRUPT = 36
const ENOENT = -2
const ENOSYS = -38
const fileNode = 2n
const content = Buffer.from('alive\n')

interface Request {
  readonly operation: number
  readonly unique: bigint
  readonly node: bigint
  readonly body: Buffer
}

function parse(packet: Buffer): Request {
  return {
    operation: packet.readUInt32LE(4),
    unique: packet.readBigUInt64LE(8),
    node: packet.readBigUInt64LE(16),
    body: packet.subarray(40),
  }
}

/** struct fuse_attr */
function attributes(node: bigint): Buffer {
  const attr = Buffer.alloc(88)
  attr.writeBigUInt64LE(node, 0)
  attr.writeBigUInt64LE(node === fileNode ? BigInt(content.length) : 0n, 8)
  attr.writeUInt32LE(node === fileNode ? 0o100644 : 0o040755, 60)
  attr.writeUInt32LE(1, 64)
  return attr
}

/** The body of the answer, or an errno. No times to live: the kernel asks each time. */
function answer({ operation, node, body }: Request): Buffer | number {
  switch (operation) {
    case opcode.init: {
      const out = Buffer.alloc(64)
      out.writeUInt32LE(7, 0)
      out.writeUInt32LE(31, 4)
      out.writeUInt32LE(65_536, 8)
      out.writeUInt32LE(4096, 20)
      return out
    }
    case LOOKUP: {
      if (body.toString('utf8', 0, body.indexOf(0)) !== 'file') return ENOENT
      const entry = Buffer.alloc(40)
      entry.writeBigUInt64LE(fileNode, 0)
      return Buffer.concat([entry, attributes(fileNode)])
    }
    case opcode.getattr:
      return Buffer.concat([Buffer.alloc(16), attributes(node)])
    case opcode.open:
    case opcode.opendir:
      return Buffer.alloc(16)
    case opcode.read:
      return content.subarray(Number(body.readBigUInt64LE(8)))
    case STATFS:
      return Buffer.alloc(80)
    case READDIR:
    case opcode.release:
    case opcode.releasedir:
    case ACCESS:
      return Buffer.alloc(0)
    default:
      return ENOSYS
  }
}

function reply(fd: number, { unique }: Request, what: Buffer | number): void {
  const body = typeof what === 'number' ? Buffer.alloc(0) : what
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeInt32LE(typeof what === 'number' ? what : 0, 4)
  header.writeBigUInt64LE(unique, 8)
  try {
    writeSync(fd, Buffer.concat([header, body]))
  } catch {
    // Interrupted meanwhile.
  }
}

/** Reads block: a thread of its own. */
function serve(fd: number, left: Int32Array): void {
  const buffer = Buffer.alloc(1 << 17)
  const silent: readonly number[] = [opcode.forget, opcode.batchForget, INTERRUPT]
  for (;;) {
    const length = readSync(fd, buffer)
    const request = parse(Buffer.from(buffer.subarray(0, length)))
    if (!silent.includes(request.operation) && Atomics.sub(left, 0, 1) > 0) reply(fd, request, answer(request))
    if (request.operation === opcode.init) parentPort?.postMessage('mounted')
  }
}

function main(target: string): void {
  const fd = openSync('/dev/fuse', 'r+')
  const options = [`fd=${fd}`, 'rootmode=40000', 'user_id=0', 'group_id=0', 'allow_other']
  createHost().mounts.mount({ type: 'fuse', source: 'hangs', destination: target, options })
  const left = new Int32Array(new SharedArrayBuffer(4))
  Atomics.store(left, 0, 1_000_000)
  const worker = new Worker(new URL(import.meta.url), { workerData: { fd, left } })
  worker.on('message', (text) => console.log(text))
  // Unmounted.
  worker.on('error', () => process.exit(0))
  process.stdin.on('data', (text) => {
    Atomics.store(left, 0, Number(text))
    console.log('done')
  })
  // Its thread may be in a read that nothing else ends; what waits in the kernel fails when the device is closed.
  process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'))
}

if (isMainThread) main(process.argv[2] ?? '')
else {
  // What `main` hands over.
  const { fd, left } = workerData as { fd: number; left: Int32Array }
  serve(fd, left)
}
