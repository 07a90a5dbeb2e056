import { closeSync, writeSync } from 'node:fs'
import { MessageChannel, Worker } from 'node:worker_threads'
import { logger } from '@coracle/base/log'
import { callFailed, libc } from '../libc.ts'
import type { PollCommand, PollReport, PollThreadData } from './poll-messages.ts'

const log = logger('host')
const EFD_CLOEXEC = 0o2000000
const EFD_NONBLOCK = 0o4000

export interface PacketListener {
  packets(packets: readonly Uint8Array[]): void
  /** The peer has closed (0), or the socket has failed. Nothing comes after. */
  end(errno: number): void
}

/** The one thread that waits for packet sockets. Started by the first of them. */
export class PollThread {
  readonly #listeners = new Map<number, PacketListener>()
  #running: { readonly worker: Worker; readonly send: (command: PollCommand) => void } | undefined
  #lastId = 0

  /** Gives a socket to the thread, which closes it when told. */
  watch(fd: number, listener: PacketListener): number {
    this.#running ??= this.#start()
    const id = ++this.#lastId
    this.#listeners.set(id, listener)
    this.#running.send({ kind: 'watch', id, fd })
    return id
  }

  close(id: number): void {
    if (this.#listeners.delete(id)) this.#running?.send({ kind: 'close', id })
  }

  #start() {
    const wakeFd = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if (wakeFd < 0) throw callFailed('make an eventfd')
    const { port1, port2 } = new MessageChannel()
    const workerData: PollThreadData = { wakeFd, commands: port2 }
    const worker = new Worker(new URL('./poll-worker.ts', import.meta.url), {
      workerData,
      transferList: [port2],
      env: {},
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    })
    port1.unref()
    const one = Buffer.from(new BigUint64Array([1n]).buffer)
    const send = (command: PollCommand) => {
      port1.postMessage(command)
      writeSync(wakeFd, one)
    }
    // Node waits for its threads at the end: this one must be woken.
    const stop = () => send({ kind: 'stop' })
    process.once('exit', stop)
    worker.on('message', (report: PollReport) => this.#hear(report))
    worker.on('error', (err) => log.error('polling thread failed', { error: err }))
    worker.once('exit', () => {
      process.off('exit', stop)
      closeSync(wakeFd)
      this.#running = undefined
      this.#abandon()
    })
    // Last: a listener for messages takes a reference again.
    worker.unref()
    return { worker, send }
  }

  #hear(report: PollReport): void {
    const listener = this.#listeners.get(report.id)
    if (report.kind === 'packets') listener?.packets(report.packets)
    else listener?.end(report.errno)
  }

  // The fds of a dead thread stay open: nobody can know whether it had closed them.
  #abandon(): void {
    for (const listener of [...this.#listeners.values()]) listener.end(-1)
    this.#listeners.clear()
  }
}
