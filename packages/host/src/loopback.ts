import { closeSync } from 'node:fs'
import { callFailed, libc } from './libc.ts'

const AF_INET = 2
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const SIOCGIFFLAGS = 0x8913
const SIOCSIFFLAGS = 0x8914
const IFF_UP = 1

/** Brings `lo` up in the network namespace of the calling thread (netdevice(7)). The kernel gives it its addresses. */
export function bringLoopbackUp(): void {
  const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) throw callFailed('make a socket')
  try {
    // struct ifreq: 16 bytes of name, then a union whose first member here is a short of flags.
    const request = Buffer.alloc(40)
    request.write('lo')
    if (libc.ioctl(fd, SIOCGIFFLAGS, request) !== 0) throw callFailed('read the flags of lo')
    request.writeInt16LE(request.readInt16LE(16) | IFF_UP, 16)
    if (libc.ioctl(fd, SIOCSIFFLAGS, request) !== 0) throw callFailed('bring lo up')
  } finally {
    closeSync(fd)
  }
}
