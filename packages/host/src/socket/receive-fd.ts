// The console socket of runtime-spec: a runtime connects and sends the terminal's fd by SCM_RIGHTS (unix(7), cmsg(3)).
import { chmodSync, closeSync, unlinkSync } from 'node:fs'
import { constants as os } from 'node:os'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError, failed } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { delay } from '@coracle/base/signals'
import type { FdReceiver } from '../host.ts'
import { callFailed, errno, libc } from '../libc.ts'
import { unixAddress } from './unix-address.ts'

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const MSG_CMSG_CLOEXEC = 0x40000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1

export async function receiveFd(path: string): Promise<FdReceiver> {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) throw callFailed('make a socket')
  try {
    using address = unixAddress(path)
    if (libc.bind(fd, address.bytes, address.bytes.length) !== 0) throw callFailed(`bind ${quote(path)}`)
    chmodSync(path, 0o600)
    if (libc.listen(fd, 1) !== 0) throw callFailed(`listen at ${quote(path)}`)
    return new Receiver(fd, path)
  } catch (err) {
    closeSync(fd)
    throw err
  }
}

class Receiver implements FdReceiver {
  readonly path: string
  readonly #fd: number
  #disposed = false

  constructor(fd: number, path: string) {
    this.#fd = fd
    this.path = path
  }

  async receive(signal: AbortSignal): Promise<number> {
    const connection = await this.#until(signal, () => libc.accept4(this.#fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC), 'accept')
    try {
      let fds: readonly number[] = []
      await this.#until(
        signal,
        () => {
          const { result, control } = libc.recvmsg(connection, 4096, 256, MSG_CMSG_CLOEXEC)
          fds = passedFds(control)
          return result
        },
        'receive',
      )
      const [first, ...others] = fds
      for (const other of others) closeSync(other)
      if (first === undefined) throw new CodedError('failed_precondition', `the peer of ${quote(this.path)} sent no descriptor`)
      return first
    } finally {
      closeSync(connection)
    }
  }

  // Takes some milliseconds once in the life of a terminal: not worth a thread.
  async #until(signal: AbortSignal, attempt: () => number, what: string): Promise<number> {
    for (let wait = 1; ; wait = Math.min(wait * 2, 20)) {
      signal.throwIfAborted()
      if (this.#disposed) throw new CodedError('canceled', `${what} at ${quote(this.path)}: receiver is closed`)
      const result = attempt()
      if (result >= 0) return result
      const number = errno()
      if (number !== os.errno.EAGAIN && number !== os.errno.EINTR && number !== os.errno.ECONNABORTED)
        throw failed(`${what} at ${quote(this.path)}`, callFailed(what, number))
      await delay(wait, signal)
    }
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    closeSync(this.#fd)
    unlessErrno(['ENOENT'], () => unlinkSync(this.path), undefined)
  }
}

/** The descriptors in a control message buffer: struct cmsghdr is a length of 8 bytes, level, type, then the data, padded to 8. */
export function passedFds(control: Buffer): readonly number[] {
  const fds: number[] = []
  for (let offset = 0; offset + 16 <= control.length; ) {
    const length = Number(control.readBigUInt64LE(offset))
    if (length < 16 || offset + length > control.length) break
    if (control.readInt32LE(offset + 8) === SOL_SOCKET && control.readInt32LE(offset + 12) === SCM_RIGHTS)
      for (let at = offset + 16; at + 4 <= offset + length; at += 4) fds.push(control.readInt32LE(at))
    offset += (length + 7) & ~7
  }
  return fds
}
