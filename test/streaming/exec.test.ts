// Exec as a kubelet's client sees it: output, input, terminal, exit code, and what ends when the client does.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { before, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectExec } from '@coracle/streaming/client'
import { eventually } from '@coracle/testkit/eventually'
import { elapsedMs, failsWith } from '../cri/expect.ts'
import { type ContainerUnderTest, criSuite } from '../cri/suite.ts'
import { openExec, outcomeOf, transports, watch } from './sessions.ts'

criSuite('exec streams', (cri) => {
  let container: ContainerUnderTest
  // It goes with the node.
  before(async () => {
    const pod = await cri.pod()
    container = await pod.run({ envs: [{ key: 'A', value: Buffer.from('b') }], workingDir: '/tmp' })
  })
  const gone = (word: string) =>
    eventually(`${word} is gone`, async () => !(await container.sh('ps')).includes(word), { timeoutMs: 8_000 })

  for (const transport of transports) {
    it(`gives both outputs and the exit code (${transport})`, async () => {
      const session = await openExec(container, ['sh', '-c', 'echo out $A $(pwd); echo err >&2; exit 42'], { transport })
      assert.deepEqual(await outcomeOf(session), { stdout: 'out b /tmp\n', stderr: 'err\n', exitCode: 42, failure: undefined })
      const quiet = await outcomeOf(await openExec(container, ['true'], { transport }))
      assert.deepEqual([quiet.stdout, quiet.exitCode], ['', 0])
      const absent = await outcomeOf(await openExec(container, ['/no/such'], { transport }))
      assert.match(absent.failure ?? '', /no such file|not found/i)
    })

    it(`passes stdin to its end, bytes unchanged (${transport})`, async () => {
      const session = await openExec(container, ['sh', '-c', 'md5sum; echo done'], { transport, stdin: true })
      const bytes = randomBytes(5_000_000)
      session.stdin?.end(bytes)
      const { stdout, exitCode } = await outcomeOf(session)
      assert.deepEqual([stdout, exitCode], [`${createHash('md5').update(bytes).digest('hex')}  -\ndone\n`, 0])
    })

    it(`gives a terminal that resizes (${transport})`, async () => {
      const session = await openExec(container, ['sh'], { transport, tty: true, stdin: true })
      const screen = watch(session.stdout)
      session.resize({ columns: 111, rows: 22 })
      session.stdin?.write('test -t 0 && test -t 1 && echo ter""minal\nstty size\n')
      await eventually('the first size', () => /terminal/.test(screen.text()) && /22 111/.test(screen.text()))
      session.resize({ columns: 99, rows: 33 })
      await sleep(100)
      session.stdin?.write('stty size\n')
      await eventually('the second size', () => /33 99/.test(screen.text()))
      session.stdin?.write('exit 6\n')
      assert.equal((await session.ended).exitCode, 6)
    })

    it(`a client that vanishes ends the whole process tree (${transport})`, async () => {
      for (const tty of [false, true]) {
        const script = 'trap "" HUP TERM; sh -c "trap \\"\\" HUP; sleep 77123" & sleep 77123'
        const session = await openExec(container, ['sh', '-c', script], { transport, tty })
        await eventually('it runs', async () => (await container.sh('ps')).split('sleep 77123').length > 2)
        session.close()
        await gone('sleep 77123')
      }
    })
  }

  it('everything written arrives before the exit code', async () => {
    for (let round = 0; round < 10; round++) {
      const session = await openExec(container, ['sh', '-c', 'head -c 3000000 /dev/zero; echo -n last'])
      const { stdout, exitCode } = await outcomeOf(session)
      assert.equal(stdout.length, 3_000_004)
      assert.ok(stdout.endsWith('last'))
      assert.equal(exitCode, 0)
    }
  })

  it('a child that keeps the output open does not hold the session', async () => {
    const took = await elapsedMs(async () => {
      const { stdout, exitCode } = await outcomeOf(await openExec(container, ['sh', '-c', 'sleep 77321 & echo hi; exit 3']))
      assert.deepEqual([stdout, exitCode], ['hi\n', 3])
    })
    assert.ok(took < 20_000, `${took} ms`)
  })

  it('a reader that stalls holds back only its own command', async () => {
    const stalled = await openExec(container, ['sh', '-c', 'yes'])
    stalled.stdout?.pause()
    await sleep(500)
    assert.equal((await outcomeOf(await openExec(container, ['echo', 'ok']))).stdout, 'ok\n')
    stalled.close()
    await gone('yes')
  })

  it('a token is good for one session', async () => {
    const selection = { tty: false, stdin: false, stdout: true, stderr: true }
    const { url } = await cri.runtime.exec({ containerId: container.id, cmd: ['true'], ...selection })
    const dial = () => connectExec(url, { transport: 'spdy', selection, signal: AbortSignal.timeout(10_000) })
    assert.equal((await outcomeOf(await dial())).exitCode, 0)
    await failsWith('not_found', dial())
  })

  it('refuses what makes no sense', async () => {
    const none = { tty: false, stdin: false, stdout: false, stderr: false }
    const exec = (change: object) =>
      cri.runtime.exec({ containerId: container.id, cmd: ['true'], ...none, stdout: true, ...change })
    await failsWith('invalid_argument', exec({ stdout: false }))
    await failsWith('invalid_argument', exec({ tty: true, stderr: true }))
    await failsWith('invalid_argument', exec({ containerId: '0123456789abcdef'.repeat(4) }))
    await failsWith('invalid_argument', exec({ cmd: [] }))
    await container.stop()
    await failsWith('failed_precondition', exec({}))
  })
})
