import { read } from 'node:fs'
import { promisify } from 'node:util'

const readFd = promisify(read)
const chunkBytes = 256 * 1024

/** The bytes of an open file. Its size is not believed: size and digest of the blob are checked as those of a download. */
export async function* spooledBlob(fd: number): AsyncGenerator<Buffer> {
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await readFd(fd, Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
