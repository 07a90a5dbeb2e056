// Visits to other namespaces on the main thread. Everything between going and coming back must be synchronous.
import { closeSync, openSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { logger } from '@coracle/base/log'
import type { PinnedNamespace } from './host.ts'
import { callFailed, errno, libc } from './libc.ts'

const log = logger('host')

/** What a thread among others can enter and leave: not a user namespace. */
export type ThreadNamespace = Exclude<PinnedNamespace, 'user'>

export const flagOf: Readonly<Record<ThreadNamespace, number>> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 }

/**
 * Runs `work` in new namespaces, or in those of the descriptor `into`: an nsfs file (one kind only) or a pidfd; then returns to the
 * old ones.
 */
export function inNamespaces<T>(kinds: readonly ThreadNamespace[], into: 'new' | number, work: () => T): T {
  if (!isMainThread) throw new Error('namespaces are changed on the main thread only')
  using home = new Home(kinds)
  home.leave(into)
  return work()
}

class Home implements Disposable {
  readonly #ways: { readonly fd: number; readonly flag: number; readonly kind: ThreadNamespace }[] = []
  #away = false

  constructor(kinds: readonly ThreadNamespace[]) {
    try {
      for (const kind of new Set(kinds))
        this.#ways.push({ fd: openSync(`/proc/thread-self/ns/${kind}`, 'r'), flag: flagOf[kind], kind })
    } catch (err) {
      this[Symbol.dispose]()
      throw err
    }
  }

  leave(into: 'new' | number): void {
    const flags = this.#ways.reduce((all, way) => all | way.flag, 0)
    if (flags === 0) return
    const result = into === 'new' ? libc.unshare(flags) : libc.setns(into, flags)
    if (result !== 0) throw callFailed(into === 'new' ? 'make namespaces' : 'enter a namespace')
    this.#away = true
  }

  [Symbol.dispose](): void {
    for (const { fd, flag, kind } of this.#ways) {
      if (this.#away && libc.setns(fd, flag) !== 0) {
        // The daemon would go on inside a pod: its containers survive it, so dying and starting anew is the safe way.
        log.error('cannot return to the host namespace', { kind, errno: errno() })
        process.abort()
      }
      closeSync(fd)
    }
    this.#ways.length = 0
  }
}
