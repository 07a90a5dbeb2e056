import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isErrno } from '@coracle/base/errno'

/** The old file or the new one, whatever happens. Throws what `content` throws. */
export async function writeFileOf(path: string, content: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
  const temporary = join(dirname(path), `.coracle-${randomBytes(8).toString('hex')}`)
  try {
    await using file = await open(temporary, 'wx', 0o644)
    for await (const chunk of content) await file.writeFile(chunk)
    await file.datasync()
    await rename(temporary, path)
  } catch (err) {
    await rm(temporary, { force: true }).catch((late: unknown) => {
      if (!isErrno(late, 'ENOENT')) throw late
    })
    throw err
  }
}
