import { invalid } from '@coracle/base/errors'
import type { Sockets } from '../host.ts'
import { callFailed, libc } from '../libc.ts'
import { PollThread } from './poll-thread.ts'
import { receiveFd } from './receive-fd.ts'
import { connectSeqpacket } from './seqpacket.ts'

const TIOCSWINSZ = 0x5414

export function createSockets(): Sockets {
  const thread = new PollThread()
  return { connectSeqpacket: (path) => connectSeqpacket(thread, path), receiveFd, setTerminalSize }
}

function setTerminalSize(fd: number, { columns, rows }: { readonly columns: number; readonly rows: number }): void {
  for (const value of [columns, rows])
    if (!Number.isInteger(value) || value < 0 || value > 65535)
      throw invalid(`terminal size ${columns}x${rows} must be from 0 to 65535`)
  // struct winsize (ioctl_tty(2)): rows, columns, two unused.
  const size = Buffer.from(Uint16Array.of(rows, columns, 0, 0).buffer)
  if (libc.ioctl(fd, TIOCSWINSZ, size) !== 0) throw callFailed(`set the size of terminal ${fd}`)
}
