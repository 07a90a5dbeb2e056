// Checks layers against their tree records, in a process of its own that has shut itself into the store: it reads what images
// brought, and a disk that hangs stops nobody else. Tasks come as one JSON line on stdin; a JSON line for each goes to stdout.
import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { setPriority } from 'node:os'
import zlib from 'node:zlib'
import { isErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import type { CheckTask, CheckTasks, LayerVerdict } from './check-tasks.ts'
import { compareTree } from './compare.ts'
import { ExpectedTree } from './expected.ts'
import { readRecords } from './record.ts'

const sys = loadUnpackSyscalls()
const idlePriority = 19

/** The files of the store that a task is about, opened before the thread gets another root. */
interface Opened {
  readonly task: CheckTask
  readonly layerFd: number | undefined
  readonly record: Buffer | undefined
}

// One at a time: a store has thousands of layers, a process not as many open files.
function check(storeFd: number, task: CheckTask, deep: boolean): LayerVerdict {
  sys.enter(storeFd)
  const opened = open(task)
  try {
    const blobDamaged = deep && isDamaged(task.blob.path, task.blob.digest)
    return { number: task.number, blobDamaged, skeletonProblem: skeletonProblem(task, deep), ...judge(opened, deep) }
  } finally {
    if (opened.layerFd !== undefined) closeSync(opened.layerFd)
  }
}

function open(task: CheckTask): Opened {
  const record = orAbsent(() => readFileSync(task.record))
  return { task, layerFd: orAbsent(() => openSync(task.directory, 'r')), record }
}

function judge(
  { task, layerFd, record }: Opened,
  deep: boolean,
): Omit<LayerVerdict, 'number' | 'blobDamaged' | 'skeletonProblem'> {
  const damaged = (problem: string) => ({ problems: [problem], problemCount: 1, files: 0, bytesRead: 0 })
  if (layerFd === undefined) return damaged('its directory is missing')
  if (task.recordDigest === undefined) return { problems: [], problemCount: 0, files: 0, bytesRead: 0 }
  if (record === undefined) return damaged('its tree record is missing')
  if (`sha256:${createHash('sha256').update(record).digest('hex')}` !== task.recordDigest)
    return damaged('its tree record is damaged')
  const tree = new ExpectedTree()
  const bytes = record.length === 0 ? record : zlib.zstdDecompressSync(record)
  for (const entry of readRecords(bytes)) tree.play(entry)
  sys.enter(layerFd)
  return compareTree(tree.root, { sys, deep })
}

function skeletonProblem({ skeleton: { path, digest } }: CheckTask, deep: boolean): string | undefined {
  if (digest === undefined) return undefined
  if (!existsSync(path)) return 'what its archive is made again from is missing'
  return deep && isDamaged(path, digest) ? 'what its archive is made again from has other bytes' : undefined
}

/** Not there: not damaged. */
function isDamaged(path: string, digest: string): boolean {
  const fd = orAbsent(() => openSync(path, 'r'))
  if (fd === undefined) return false
  try {
    const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256'
    const hash = createHash(algorithm)
    const buffer = Buffer.allocUnsafe(1024 * 1024)
    for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n))
    return `${algorithm}:${hash.digest('hex')}` !== digest
  } catch (err) {
    if (isErrno(err, 'EIO', 'EUCLEAN')) return true
    throw err
  } finally {
    closeSync(fd)
  }
}

function orAbsent<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'EIO', 'EUCLEAN')) return undefined
    throw err
  }
}

function main(): void {
  // Our own daemon's words.
  const { store, deep, tasks } = JSON.parse(readFileSync(0, 'utf8')) as CheckTasks
  // Containers come first.
  setPriority(idlePriority)
  const storeFd = openSync(store, 'r')
  sys.confine(storeFd)
  for (const task of tasks) process.stdout.write(`${JSON.stringify(check(storeFd, task, deep))}\n`)
}

try {
  main()
} catch (err) {
  process.stderr.write(`${explain(err)}\n`)
  process.exitCode = 1
}
