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

interface Running {
  readonly send: (command: PollCommand) => void
}

// A thread costs some 15 MB: it goes when nobody has been attached for this long.
const idleMs = 10_000

/** The one thread that waits for packet sockets. Started by the first of them, ended some seconds after the last. */
export class PollThread {
  readonly #listeners = new Map<number, PacketListener>()
  #running: Running | undefined
  #idle: NodeJS.Timeout | undefined
  #lastId = 0

  /** Gives a socket to the thread, which closes it when told. */
  watch(fd: number, listener: PacketListener): number {
    clearTimeout(this.#idle)
    this.#running ??= this.#start()
    const id = ++this.#lastId
    this.#listeners.set(id, listener)
    this.#running.send({ kind: 'watch', id, fd })
    return id
  }

  close(id: number): void {
    if (!this.#listeners.delete(id)) return
    this.#running?.send({ kind: 'close', id })
    if (this.#listeners.size === 0) this.#idle = setTimeout(() => this.#stop(), idleMs).unref()
  }

  #stop(): void {
    if (this.#listeners.size > 0) return
    this.#running?.send({ kind: 'stop' })
    // The next socket gets a thread of its own, however long this one takes to end.
    this.#running = undefined
  }

  #start(): Running {
    const wakeFd = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if (wakeFd < 0) throw callFailed('make an eventfd')
    const { port1, port2 } = new MessageChannel()
    const workerData: PollThreadData = { wakeFd, commands: port2 }
    const worker = new Worker(new URL('./poll-worker.ts', import.meta.url), {
      workerData,
      transferList: [port2],
      env: {},
      // It closes sockets that the main thread opened.
      trackUnmanagedFds: false,
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    })
    port1.unref()
    const one = Buffer.from(new BigUint64Array([1n]).buffer)
    let open = true
    const running: Running = {
      send(command) {
        if (!open) return
        port1.postMessage(command)
        writeSync(wakeFd, one)
      },
    }
    // Node waits for its threads at the end: this one must be woken.
    const stop = () => running.send({ kind: 'stop' })
    process.once('exit', stop)
    worker.on('message', (report: PollReport) => this.#hear(report))
    worker.on('error', (err) => log.error('polling thread failed', { error: err }))
    worker.once('exit', () => {
      open = false
      process.off('exit', stop)
      port1.close()
      closeSync(wakeFd)
      if (this.#running === running) this.#abandon()
    })
    // Last: a listener for messages takes a reference again.
    worker.unref()
    return running
  }

  #hear(report: PollReport): void {
    const listener = this.#listeners.get(report.id)
    if (report.kind === 'packets') listener?.packets(report.packets)
    else listener?.end(report.errno)
  }

  // The thread ended by itself. Its fds stay open: nobody can know whether it had closed them.
  #abandon(): void {
    this.#running = undefined
    for (const listener of [...this.#listeners.values()]) listener.end(-1)
    this.#listeners.clear()
  }
}
