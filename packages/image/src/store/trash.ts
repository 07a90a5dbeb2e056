// Removal in two steps: a rename, which is at once and needs no space, and a program that does the slow part later.

import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import type { Paths, Processes } from '@coracle/host'

export interface TrashDeps {
  readonly processes: Pick<Processes, 'run'>
  readonly paths: Pick<Paths, 'removeTree'>
}

const log = logger('image')
const gatherMs = 100
const removeMs = 600_000

export class Trash {
  readonly #directory: string
  readonly #deps: TrashDeps
  readonly #closed = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #emptying: Promise<void> = Promise.resolve()

  constructor(directory: string, deps: TrashDeps) {
    this.#directory = directory
    this.#deps = deps
  }

  /** Takes a file or directory away at once. Absent: succeeds. */
  async take(path: string): Promise<void> {
    try {
      renameSync(path, join(this.#directory, randomUUID()))
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return
      // The trash's own directory may need a block that a full disk does not have.
      if (!isErrno(err, 'ENOSPC', 'EDQUOT')) throw err
      await this.#deps.paths.removeTree(path)
    }
    this.emptySoon()
  }

  emptySoon(): void {
    if (this.#closed.signal.aborted) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#emptying = this.#emptying
        .then(() => this.#empty())
        .catch((err) => log.warn('trash not emptied', { error: explain(err) }))
    }, gatherMs).unref()
  }

  /** Stops emptying; what is left is removed at the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#closed.abort()
    await this.#emptying
  }

  async #empty(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    const names = readdirSync(this.#directory)
    if (names.length === 0 || this.#closed.signal.aborted) return
    const result = await this.#deps.processes.run({
      argv: ['/bin/rm', '-rf', '--one-file-system', '--', ...names.slice(0, 1000).map((name) => join(this.#directory, name))],
      timeoutMs: removeMs,
      signal: this.#closed.signal,
    })
    if (result.exitCode !== 0) log.warn('trash not emptied', { error: result.stderr.toString('utf8').slice(0, 300) })
    else if (names.length > 1000) this.emptySoon()
  }
}
