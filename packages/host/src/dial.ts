import { closeSync, openSync } from 'node:fs'
import { isIP } from 'node:net'
import { constants as os } from 'node:os'
import { CodedError, failed, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { delay } from '@coracle/base/signals'
import { callFailed, errno, libc, SystemCallError } from './libc.ts'
import { inNamespaces } from './thread-namespaces.ts'

const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const POLLOUT = 4

/** A TCP connection from inside a network namespace. Only the socket is made there; it stays where it was born. */
export async function dial(netnsPath: string, address: string, port: number, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted()
  const target = socketAddress(address, port)
  const fd = socketIn(netnsPath, target.family)
  try {
    await connect(fd, target.bytes, signal)
    return fd
  } catch (err) {
    closeSync(fd)
    throw failed(`connect to ${address} port ${port}`, err)
  }
}

function socketIn(netnsPath: string, family: number): number {
  const netns = openSync(netnsPath, 'r')
  try {
    return inNamespaces(['net'], netns, () => {
      const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
      if (fd < 0) throw callFailed('make a socket')
      return fd
    })
  } finally {
    closeSync(netns)
  }
}

async function connect(fd: number, address: Uint8Array, signal: AbortSignal): Promise<void> {
  if (libc.connect(fd, address, address.length) === 0) return
  const number = errno()
  if (number !== os.errno.EINPROGRESS) throw refused(number)
  // Inside a pod this takes microseconds; Node cannot wait for a socket that it has not been given yet.
  for (let wait = 1; !isWritable(fd); wait = Math.min(wait * 2, 50)) await delay(wait, signal)
  const failure = pendingError(fd)
  if (failure !== 0) throw refused(failure)
}

function isWritable(fd: number): boolean {
  const poll = Buffer.alloc(8)
  poll.writeInt32LE(fd, 0)
  poll.writeInt16LE(POLLOUT, 4)
  return libc.poll(poll, 1, 0) > 0
}

function pendingError(fd: number): number {
  const value = Buffer.alloc(4)
  const length = Buffer.from([4, 0, 0, 0])
  if (libc.getsockopt(fd, 1, 4, value, length) !== 0) throw callFailed('read the state of a socket') // SOL_SOCKET, SO_ERROR
  return value.readInt32LE(0)
}

const refused = (number: number): CodedError =>
  new CodedError('unavailable', 'connection failed', { cause: new SystemCallError(number) })

export interface SocketAddress {
  readonly family: number
  readonly bytes: Uint8Array
}

/** struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)). Throws `invalid_argument`. */
export function socketAddress(address: string, port: number): SocketAddress {
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`port ${port} must be from 1 to 65535`)
  const version = isIP(address)
  if (version === 0 || address.includes('%')) throw invalid(`address ${quote(address)} must be an IP address`)
  const family = version === 4 ? AF_INET : AF_INET6
  const bytes = Buffer.alloc(version === 4 ? 16 : 28)
  bytes.writeUInt16LE(family, 0)
  bytes.writeUInt16BE(port, 2)
  if (version === 4) bytes.set(address.split('.').map(Number), 4)
  else bytes.set(ipv6Bytes(address), 8)
  return { family, bytes }
}

function ipv6Bytes(address: string): Uint8Array {
  // An embedded IPv4 tail becomes two groups.
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number)
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  })
  const [head = '', tail] = plain.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]))
}
