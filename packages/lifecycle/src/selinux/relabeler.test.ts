import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createRelabeler, type RelabelRun } from './relabeler.ts'

const base = mkdtempSync(join(tmpdir(), 'relabel-'))
after(() => rmSync(base, { recursive: true, force: true }))
const { signal } = new AbortController()

describe('createRelabeler()', () => {
  test('a run that broke off is continued, by the next daemon too; a finished one is known to be', async () => {
    const directory = join(base, 'a')
    const broken = createRelabeler(directory, async ({ onPosition }) => {
      onPosition('1:2', ['Yg=='])
      onPosition('1:2', ['Yw==', 'ZA=='])
      throw new Error('killed')
    })
    await assert.rejects(broken.relabel('/v', 'l', signal), /killed/)
    const seen: RelabelRun['state'][] = []
    const next = createRelabeler(directory, async ({ state }) => {
      seen.push(state)
      return '1:2'
    })
    await next.relabel('/v', 'l', signal)
    await next.relabel('/v', 'l', signal)
    await next.relabel('/v', 'other', signal)
    assert.deepEqual(seen, [
      { path: '/v', label: 'l', identity: '1:2', after: ['Yw==', 'ZA=='], finished: false },
      { path: '/v', label: 'l', identity: '1:2', after: [], finished: true },
      { path: '/v', label: 'other', after: [], finished: false },
    ])
    assert.equal(readdirSync(directory).length, 1)
  })

  test('one at a time for a tree, side by side for different ones', async () => {
    const running = new Set<string>()
    let most = 0
    const { relabel } = createRelabeler(join(base, 'b'), async ({ state: { path } }) => {
      assert.ok(!running.has(path))
      running.add(path)
      most = Math.max(most, running.size)
      await new Promise((resolve) => setTimeout(resolve, 5))
      running.delete(path)
      return '1'
    })
    await Promise.all([relabel('/a', 'x', signal), relabel('/a', 'y', signal), relabel('/b', 'x', signal)])
    assert.equal(most, 2)
  })

  test('a journal that is broken means a new start; an old one is forgotten', async () => {
    const directory = join(base, 'c')
    const states: boolean[] = []
    const run = async ({ state }: RelabelRun) => {
      states.push(state.finished)
      return '1'
    }
    await createRelabeler(directory, run).relabel('/a', 'x', signal)
    const file = join(directory, readdirSync(directory)[0] ?? '')
    writeFileSync(file, '{')
    await createRelabeler(directory, run).relabel('/a', 'x', signal)
    const old = new Date(Date.now() - 40 * 24 * 3600_000)
    utimesSync(file, old, old)
    await createRelabeler(directory, run).relabel('/a', 'x', signal)
    assert.deepEqual(states, [false, false, false])
  })
})
