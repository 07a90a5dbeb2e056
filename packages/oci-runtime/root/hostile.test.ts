// A runtime that hangs, floods, lies or crashes: every call ends in time, with an error that says something, and leaves nothing.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { needsRoot } from '@coracle/testkit/needs-root'
import { createWrapperRuntime, failWords, type WrapperMode } from '@coracle/testkit/wrapper-runtime'
import { Bed, never, processOf, runtimes } from './bed.ts'

const timeouts = { createMs: 1500, startMs: 1500, killMs: 1000, deleteMs: 1500, stateMs: 1000 }

for (const { name, program } of runtimes) {
  const kind = name === 'crun' ? 'crun' : 'runc'
  describe(`${name} behind a misbehaving wrapper`, needsRoot(), () => {
    async function withWrapper(work: (bed: Bed, wrapper: ReturnType<typeof createWrapperRuntime>) => Promise<void>) {
      const directory = makeOwnDirectory('coracle-wrapper-')
      const wrapper = createWrapperRuntime({ directory, program, slowSeconds: 30 })
      try {
        await using bed = new Bed(wrapper.program, { kind, timeouts })
        await work(bed, wrapper)
        wrapper.clear()
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    }

    const failing: readonly (readonly [WrapperMode, RegExp])[] = [
      ['hang', /did not finish within 1.5 s/],
      ['slow', /did not finish within 1.5 s/],
      ['flood', /did not finish within 1.5 s/],
      ['junk', /junk "quoted"/],
      ['lie', /pid ?file|without a word|exited with status/],
      ['crash', /without a word/],
      ['fail', new RegExp(failWords)],
    ]
    for (const [mode, words] of failing)
      test(`create: ${mode}`, async () => {
        await withWrapper(async (bed, wrapper) => {
          wrapper.set('create', mode)
          const startedAt = performance.now()
          await assert.rejects(bed.create({ args: ['sleep', '1000'] }), (err) => {
            assert.match(explain(err), words)
            if (words.source.includes('did not')) assert.equal(codeOf(err), 'deadline_exceeded')
            return true
          })
          assert.ok(performance.now() - startedAt < 6000)
        })
      })

    test('start: hang, junk, crash', async () => {
      await withWrapper(async (bed, wrapper) => {
        const made = await bed.create({ args: ['sleep', '1000'] })
        for (const mode of ['hang', 'flood', 'junk', 'crash', 'fail'] as const) {
          wrapper.set('start', mode)
          await assert.rejects(bed.runtime.start(made.paths, never))
        }
        wrapper.clear()
        await bed.runtime.start(made.paths, never)
      })
    })

    test('exec: hang, junk, crash, lie', async () => {
      await withWrapper(async (bed, wrapper) => {
        const made = await bed.run({ args: ['sleep', '1000'] })
        for (const terminal of [false, true])
          for (const mode of ['junk', 'crash', 'lie', 'fail'] as const) {
            wrapper.set('exec', mode)
            const request = { process: processOf(['true'], { terminal }), stdin: false }
            await assert.rejects(bed.runtime.exec(made.paths, request, never), /exec in container/)
          }
        wrapper.set('exec', 'hang')
        for (const terminal of [false, true]) {
          const request = { process: processOf(['true'], { terminal }), stdin: false }
          await assert.rejects(bed.runtime.exec(made.paths, request, AbortSignal.timeout(500)))
        }
      })
    })

    test('a container is killed and deleted whatever the runtime does', async () => {
      await withWrapper(async (bed, wrapper) => {
        for (const mode of ['hang', 'junk', 'crash'] as const)
          for (const killed of [true, false]) {
            const made = await bed.run({ args: ['sh', '-c', 'setsid sleep 1000 & sleep 1000'] })
            for (const command of ['kill', 'delete', 'state']) wrapper.set(command, mode)
            if (killed) {
              await bed.runtime.kill(made.paths, 9, true)
              assert.equal((await made.exit).exitCode, 137)
            }
            await bed.runtime.delete(made.paths)
            assert.equal(bed.host.processes.identify(made.pid), undefined)
            wrapper.clear()
          }
      })
    })

    test('state and features: partial answers', async () => {
      await withWrapper(async (bed, wrapper) => {
        const made = await bed.run({ args: ['sleep', '1000'] })
        for (const mode of ['partial', 'junk', 'lie'] as const) {
          wrapper.set('state', mode)
          wrapper.set('features', mode)
          assert.equal(await bed.runtime.isStarted(made.paths), false)
          assert.ok((await bed.runtime.features(never)).mountOptions.length > 0)
        }
      })
    })
  })
}
