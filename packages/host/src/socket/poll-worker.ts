// A thread that waits for all packet sockets in one poll(2) and reads them dry, however busy the main thread is.
import { closeSync } from 'node:fs'
import { constants as os } from 'node:os'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { errno, libc } from '../libc.ts'
import type { PollCommand, PollReport, PollThreadData } from './poll-messages.ts'

const POLLIN = 1
const MSG_DONTWAIT = 0x40
const maxPacketBytes = 256 * 1024
const maxBatch = 64
// The thread can be ended only between two waits.
const waitMs = 5000

// The one creator of this thread passes exactly this.
const { wakeFd, commands } = workerData as PollThreadData
const watched = new Map<number, number>()
const scratch = Buffer.alloc(maxPacketBytes)

function report(message: PollReport, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}

/** False when the thread shall stop. */
function obey(): boolean {
  libc.read(wakeFd, scratch, 8)
  for (let next = receiveMessageOnPort(commands); next !== undefined; next = receiveMessageOnPort(commands)) {
    // Only poll-thread.ts writes to this port.
    const command = next.message as PollCommand
    if (command.kind === 'stop') return false
    if (command.kind === 'watch') watched.set(command.id, command.fd)
    else forget(command.id)
  }
  return true
}

const closed = new Map<number, number>()

function forget(id: number): void {
  const fd = watched.get(id) ?? closed.get(id)
  watched.delete(id)
  closed.delete(id)
  if (fd !== undefined) closeSync(fd)
}

function drain(id: number, fd: number): void {
  const packets: Uint8Array<ArrayBuffer>[] = []
  let end: number | undefined
  while (end === undefined && packets.length < maxBatch) {
    const bytes = libc.recv(fd, scratch, scratch.length, MSG_DONTWAIT)
    if (bytes > 0) packets.push(Uint8Array.from(scratch.subarray(0, bytes)))
    else {
      const number = bytes === 0 ? 0 : errno()
      if (number === os.errno.EAGAIN || number === os.errno.EINTR) break
      end = number
    }
  }
  if (packets.length > 0)
    report(
      { kind: 'packets', id, packets },
      packets.map((packet) => packet.buffer),
    )
  if (end === undefined) return
  // No longer waited for, but still open until the main thread lets go: its number must not be reused under its hands.
  watched.delete(id)
  closed.set(id, fd)
  report({ kind: 'end', id, errno: end })
}

function main(): void {
  for (;;) {
    const sockets = [...watched]
    const poll = Buffer.alloc(8 * (sockets.length + 1))
    ;[wakeFd, ...sockets.map(([, fd]) => fd)].forEach((fd, index) => {
      poll.writeInt32LE(fd, index * 8)
      poll.writeInt16LE(POLLIN, index * 8 + 4)
    })
    if (libc.poll(poll, sockets.length + 1, waitMs) <= 0) continue
    sockets.forEach(([id, fd], index) => {
      if (poll.readInt16LE((index + 1) * 8 + 6) !== 0) drain(id, fd)
    })
    if (poll.readInt16LE(6) !== 0 && !obey()) return
  }
}

main()
