// Attach: several clients on one container, which none of them can harm.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '@coracle/testkit/eventually'
import { criSuite } from '../cri/suite.ts'
import { openAttach, outcomeOf, text, transports, watch } from './sessions.ts'

const COUNT = 'i=0; while :; do echo $((i+=1)); sleep 0.1; done'

criSuite('attach streams', (cri) => {
  for (const transport of transports) {
    it(`every client sees what is written from its time on, and leaves without harm (${transport})`, async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['sh', '-c', COUNT] })
      const sessions = await Promise.all([1, 2, 3].map(() => openAttach(container, { transport })))
      const screens = sessions.map((session) => watch(session.stdout))
      await eventually('all see lines', () => screens.every((screen) => screen.text().split('\n').length > 3))
      sessions[0]?.close()
      const late = await openAttach(container, { transport })
      const lateScreen = watch(late.stdout)
      const before = screens[1]?.text().length ?? 0
      await eventually('the others go on', () => lateScreen.text().includes('\n') && (screens[1]?.text().length ?? 0) > before)
      assert.doesNotMatch(lateScreen.text(), /^1\n/)
      await container.stop()
      const ends = await Promise.all([...sessions.slice(1), late].map((session) => session.ended))
      assert.deepEqual(ends, Array(3).fill({ exitCode: 0 }))
    })

    it(`input reaches the container, which ends by it with all its output delivered (${transport})`, async () => {
      await using pod = await cri.pod()
      const script = 'read a; echo got $a; echo err >&2; head -c 500000 /dev/zero | tr "\\0" x; exit 5'
      const container = await pod.run({ command: ['sh', '-c', script], stdin: true, stdinOnce: true })
      const session = await openAttach(container, { transport, stdin: true })
      session.stdin?.write('word\n')
      const { stdout, stderr, exitCode } = await outcomeOf(session)
      assert.equal(stdout, `got word\n${'x'.repeat(500_000)}`)
      assert.deepEqual([stderr, exitCode], ['err\n', 0])
      assert.equal((await container.exited()).exitCode, 5)
    })
  }

  it('with stdin_once the end of the first client is the end of the input', async () => {
    await using pod = await cri.pod()
    const script = 'cat; echo end of input; sleep 1000'
    const once = await pod.run({ command: ['sh', '-c', script], stdin: true, stdinOnce: true })
    const first = await openAttach(once, { stdin: true })
    first.stdin?.write('one\n')
    await once.logContains('one')
    first.close()
    await once.logContains('end of input')
    const many = await pod.run({ command: ['sh', '-c', script], stdin: true })
    const leaver = await openAttach(many, { stdin: true })
    leaver.stdin?.write('one\n')
    await many.logContains('one')
    leaver.close()
    const next = await openAttach(many, { stdin: true })
    next.stdin?.write('two\n')
    await many.logContains('two')
    assert.ok(!many.output().includes('end of input'))
    next.close()
  })

  it('a terminal takes the size of its client', async () => {
    await using pod = await cri.pod()
    const container = await pod.run({ command: ['sh'], stdin: true, tty: true })
    const session = await openAttach(container, { stdin: true, tty: true })
    const screen = watch(session.stdout)
    session.resize({ columns: 88, rows: 44 })
    await eventually(
      'the size',
      () => {
        session.stdin?.write('stty size\n')
        return screen.text().includes('44 88')
      },
      { intervalMs: 300 },
    )
    session.stdin?.write('exit 2\n')
    await session.ended
    assert.equal((await container.exited()).exitCode, 2)
  })

  it('a created container can be attached to: its first words are not lost', async () => {
    await using pod = await cri.pod()
    const container = await pod.create({ command: ['sh', '-c', 'echo first words; exit 4'] })
    const session = await openAttach(container)
    await container.start()
    assert.equal((await outcomeOf(session)).stdout, 'first words\n')
  })

  it('a client that stops reading is let go, and never slows the container', async () => {
    await using pod = await cri.pod()
    const pieceBytes = 1024 * 1024
    const script = `while read go; do head -c ${pieceBytes} /dev/zero; done`
    const container = await pod.run({ command: ['sh', '-c', script], stdin: true, logPath: '' })
    const stalled = await Promise.all([1, 2, 3].map(() => openAttach(container)))
    for (const session of stalled) session.stdout?.pause()
    const reader = await openAttach(container, { stdin: true })
    let bytes = 0
    reader.stdout?.on('data', (piece: Buffer) => {
      bytes += piece.length
    })
    // In pieces, each asked for: on a busy machine this reader may be slower than the container, too, and would be let go.
    for (let piece = 1; piece <= 16; piece++) {
      reader.stdin?.write('go\n')
      await eventually(`piece ${piece}`, () => bytes === piece * pieceBytes, { timeoutMs: 30_000, intervalMs: 5 })
    }
    for (const session of stalled) {
      session.stdout?.resume()
      assert.match((await session.ended).failure?.message ?? '', /reads slower than the container writes/)
    }
    reader.close()
    await container.stop()
  })

  it('stays with a container that closes its output and runs on', async () => {
    await using pod = await cri.pod()
    const container = await pod.run({ command: ['sh', '-c', 'echo bye; exec >&- 2>&-; sleep 2'] })
    const session = await openAttach(container)
    const output = text(session.stdout)
    await sleep(100)
    assert.equal((await session.ended).exitCode, 0)
    await output
    await container.exited()
  })
})
