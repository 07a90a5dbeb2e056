// A directory of its own for each test, which must be empty of mounts and gone at the end, and no fd more open than before.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { makeOwnDirectory } from '@coracle/testkit/belongings'

export interface Scratch extends AsyncDisposable {
  readonly path: string
}

export const openFds = (): number => readdirSync('/proc/self/fd').length

export function scratch(): Scratch {
  const path = makeOwnDirectory('coracle-host-')
  const fds = openFds()
  return {
    path,
    async [Symbol.asyncDispose]() {
      // Sockets of ended children are closed in a later turn.
      for (let i = 0; i < 50 && openFds() > fds; i++) await new Promise((resolve) => setTimeout(resolve, 20))
      assert.ok(openFds() <= fds, `${openFds()} open fds, before ${fds}`)
      assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(path), 'no mount is left')
      rmSync(path, { recursive: true })
    },
  }
}
