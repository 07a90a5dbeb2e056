// The first start of a version ends with the same memory as those after it.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startNode } from '@coracle/testkit/node'

describe('a start without compiled modules', needsRoot(), () => {
  /** Whether the process has begun a second time. */
  const beganAgain = (pid: number): boolean => readFileSync(`/proc/${pid}/environ`, 'latin1').includes('\0CORACLE_COMPILED=1\0')

  it('begins again once, in the same process; the next one has nothing to compile', async () => {
    const directory = makeOwnDirectory('ct-compiled-')
    try {
      const env = { NODE_COMPILE_CACHE: directory }
      await using node = await startNode({ env })
      const pid = node.pid()
      assert.ok(beganAgain(pid))
      const [arguments0, ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      assert.match(arguments0 ?? '', /\/node$/)
      assert.ok(rest.includes('--no-opt'), 'the flags of the launcher are kept')
      await node.client.runtime.version({})
      await node.restart()
      assert.ok(!beganAgain(node.pid()))
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('serves also where nothing can be kept', async () => {
    const directory = makeOwnDirectory('ct-compiled-')
    try {
      const file = join(directory, 'no-directory')
      writeFileSync(file, '')
      await using node = await startNode({ env: { NODE_COMPILE_CACHE: file } })
      await node.client.runtime.version({})
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
