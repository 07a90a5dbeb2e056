// A volume whose server can stop answering.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { run } from '@coracle/testkit/program'
import type { Cri } from '../cri/suite.ts'

const server = fileURLToPath(new URL('fuse-server.ts', import.meta.url))

/** A mounted file system that can stop answering; gone with its scope. */
export async function deadServer(cri: Cri) {
  const path = join(cri.node.world.pods, cri.unique('volume-'))
  mkdirSync(path)
  const child = spawn(process.execPath, [server, path], { stdio: ['pipe', 'pipe', 'inherit'], env: {} })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'mounted')
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.stdin.end()
    await once(child, 'exit')
  }
  return {
    path,
    file: join(path, 'file'),
    /** `answers` more, and then never again. */
    async hang(answers = 0) {
      child.stdin.write(`${answers}\n`)
      await lines.next()
    },
    /** Everything that waits for it fails. */
    end,
    async [Symbol.asyncDispose]() {
      await end()
      await run(['/bin/umount', '-l', path])
    },
  }
}
