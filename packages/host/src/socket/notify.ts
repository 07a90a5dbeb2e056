// Datagrams to a unix socket, which Node's dgram cannot send: sd_notify(3).
import { closeSync } from 'node:fs'
import { callFailed, libc } from '../libc.ts'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_NOSIGNAL = 0x4000

/** Sends `text` to the datagram socket at `path`; a leading `@` means an abstract one. Throws `internal` with the errno. */
export function sendDatagram(path: string, text: string): void {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path)
  const address = Buffer.alloc(2 + name.length)
  address.writeUInt16LE(AF_UNIX)
  name.copy(address, 2)
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) throw callFailed('make a datagram socket')
  try {
    if (libc.connect(fd, address, address.length) < 0) throw callFailed(`connect to ${path}`)
    const data = Buffer.from(text)
    if (libc.send(fd, data, data.length, MSG_NOSIGNAL) < 0) throw callFailed(`send to ${path}`)
  } finally {
    closeSync(fd)
  }
}
