// A file or a tree of this machine as a tar archive, made while it is sent.
import { constants } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { doing } from '@coracle/base/errors'
import { BLOCK_BYTES, formatHeader, paddingOf } from './tar-header.ts'

const PIECE_BYTES = 256 * 1024

export interface WriteTarOptions {
  /** What the root is called in the archive. */
  readonly name: string
  readonly warn: (message: string) => void
}

/** Links are written as links. Sockets, pipes and devices are left out with a warning. Throws when something cannot be read. */
export async function* writeTar(root: string, options: WriteTarOptions): AsyncGenerator<Buffer> {
  yield* entry(root, options)
  yield Buffer.alloc(2 * BLOCK_BYTES)
}

async function* entry(path: string, { name, warn }: WriteTarOptions): AsyncGenerator<Buffer> {
  const info = await doing(`read ${path}`, () => lstat(path))
  const fields = { name, mode: info.mode, sizeBytes: 0, mtimeSeconds: info.mtimeMs / 1000, link: '' }
  if (info.isSymbolicLink()) {
    yield formatHeader({ ...fields, type: '2', mode: 0o777, link: await readlink(path) })
  } else if (info.isDirectory()) {
    yield formatHeader({ ...fields, type: '5', name: `${name}/` })
    for (const child of (await doing(`list ${path}`, () => readdir(path))).sort())
      yield* entry(join(path, child), { name: `${name}/${child}`, warn })
  } else if (info.isFile()) yield* file(path, { name, warn })
  else warn(`${path} is neither file, directory nor link: left out`)
}

/** A file that changes while it is read is cut or filled up to the size it had. */
async function* file(path: string, { name, warn }: WriteTarOptions): AsyncGenerator<Buffer> {
  // Not through a link that takes the file's place meanwhile, and never waiting for the writer of a pipe.
  await using handle = await doing(`open ${path}`, () =>
    open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  )
  const info = await handle.stat()
  yield formatHeader({ name, mode: info.mode, sizeBytes: info.size, mtimeSeconds: info.mtimeMs / 1000, type: '0', link: '' })
  let left = info.size
  while (left > 0) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(PIECE_BYTES, left)))
    if (bytesRead === 0) {
      warn(`${path} became shorter while it was read: filled up with zeros`)
      break
    }
    left -= bytesRead
    yield buffer.subarray(0, bytesRead)
  }
  for (left += paddingOf(info.size); left > 0; left -= Math.min(PIECE_BYTES, left))
    yield Buffer.alloc(Math.min(PIECE_BYTES, left))
}
