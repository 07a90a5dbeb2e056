import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { O_PATH } from '../in-root.ts'

const AF_UNIX = 1
// sun_path has 108 bytes, the last one for NUL (unix(7)).
const maxPathBytes = 107

export interface UnixAddress extends Disposable {
  /** struct sockaddr_un. */
  readonly bytes: Uint8Array
}

/** The address of a socket file. A long path is named from its opened directory; dispose after bind or connect. Throws `invalid_argument`. */
export function unixAddress(path: string): UnixAddress {
  if (path === '' || path.includes('\0')) throw invalid(`socket path ${quote(path)} must not be empty or contain NUL`)
  if (Buffer.byteLength(path) <= maxPathBytes) return { bytes: encode(path), [Symbol.dispose]: () => {} }
  const fd = openSync(dirname(path), O_PATH | constants.O_DIRECTORY)
  const short = `/proc/self/fd/${fd}/${basename(path)}`
  if (Buffer.byteLength(short) > maxPathBytes) {
    closeSync(fd)
    throw invalid(`socket name ${quote(basename(path))} must be shorter`)
  }
  return { bytes: encode(short), [Symbol.dispose]: () => closeSync(fd) }
}

function encode(path: string): Uint8Array {
  const text = Buffer.from(path)
  const bytes = Buffer.alloc(2 + text.length + 1)
  bytes.writeUInt16LE(AF_UNIX, 0)
  text.copy(bytes, 2)
  return bytes
}
