// The middle of a test, for as long as somebody wants it: interrupted-run.test.ts runs this file by itself and ends it from outside.
// TEST_HOLD names a file: the test says `<file>.ready` and waits until the file is gone. Without it nothing waits.
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@coracle/testkit/free-port'
import { criSuite } from '../cri/suite.ts'

const held = process.env['TEST_HOLD']
const longestMs = 240_000

criSuite('a test that can be held', (cri) => {
  it('has a pod with a published port and a container that runs', async () => {
    await using pod = await cri.pod({ portMappings: [{ containerPort: 80, hostPort: await freePort() }] })
    const container = await pod.run()
    if (held !== undefined) writeFileSync(`${held}.ready`, '')
    const deadline = performance.now() + longestMs
    while (held !== undefined && existsSync(held) && performance.now() < deadline) await sleep(50)
    assert.equal(await container.sh('echo alive'), 'alive')
  })
})
