// Many sessions at once that open, stall, flood and are cut; afterwards the daemon is as it was.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { after, before, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '@coracle/testkit/eventually'
import type { Program } from '@coracle/testkit/program'
import { type ContainerUnderTest, criSuite } from '../cri/suite.ts'
import { startEchoServer } from './echo-server.ts'
import { countBytes, openAttach, openExec, openForward, text, transports } from './sessions.ts'

const MIB = 1 << 20
const FLOOD_BYTES = 256 * MIB
/** What a flood may add to the daemon's resident memory: the buffers of one session, and garbage not collected yet. */
const FLOOD_RSS_BYTES = 96 * MIB
/** What may stay of two hundred sessions: pages the collector keeps. A leak of every session's buffers would be far more. */
const LEFT_RSS_BYTES = 64 * MIB
const ECHO = 7000

criSuite('interleavings of streams', (cri) => {
  let container: ContainerUnderTest
  let server: Program | undefined
  before(async () => {
    const pod = await cri.pod()
    container = await pod.run({ command: ['sh', '-c', 'while :; do echo tick; sleep 0.2; done'] })
    server = await startEchoServer(container, ['127.0.0.1', ECHO])
  })
  after(() => server?.stop())

  const rssBytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${cri.node.pid()}/status`, 'utf8'))?.[1] ?? 0) * 1024
  const fds = () => readdirSync(`/proc/${cri.node.pid()}/fd`).length

  async function peakRssOf(work: () => Promise<void>): Promise<number> {
    const start = rssBytes()
    let peak = start
    const timer = setInterval(() => {
      peak = Math.max(peak, rssBytes())
    }, 20)
    try {
      await work()
    } finally {
      clearInterval(timer)
    }
    return peak - start
  }

  for (const transport of transports) {
    it(`a flood through exec takes bounded memory (${transport})`, { timeout: 60_000 }, async () => {
      const peak = await peakRssOf(async () => {
        const session = await openExec(container, ['head', '-c', String(FLOOD_BYTES), '/dev/zero'], { transport })
        assert.equal(await countBytes(session.stdout), FLOOD_BYTES)
        assert.equal((await session.ended).exitCode, 0)
      })
      assert.ok(peak < FLOOD_RSS_BYTES, `the daemon grew by ${Math.round(peak / MIB)} MiB`)
    })
  }

  it('a flood through port-forward takes bounded memory', { timeout: 60_000 }, async () => {
    const peak = await peakRssOf(async () => {
      const session = await openForward(container.pod, [ECHO])
      const connection = session.open(ECHO)
      const piece = Buffer.alloc(MIB)
      const send = async () => {
        for (let sent = 0; sent < FLOOD_BYTES / 2; sent += MIB)
          if (!connection.writable.write(piece)) await new Promise<void>((resolve) => connection.writable.once('drain', resolve))
        connection.writable.end()
      }
      const [bytes] = await Promise.all([countBytes(connection.readable), send()])
      assert.equal(bytes, FLOOD_BYTES / 2)
      session.close()
    })
    assert.ok(peak < FLOOD_RSS_BYTES, `the daemon grew by ${Math.round(peak / MIB)} MiB`)
  })

  it('two hundred sessions at random leave nothing', { timeout: 120_000 }, async () => {
    await someSession(0)
    const before = { rss: rssBytes(), fds: fds() }
    let next = 0
    const worker = async () => {
      while (next < 200) await someSession(next++)
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    await eventually('no process is left', async () => !/yes|sleep 77/.test(await container.sh('ps')), { timeoutMs: 15_000 })
    await eventually(
      'no file descriptor is left',
      () => {
        if (fds() <= before.fds + 2) return true
        throw new Error(`${before.fds} before, now ${fds()}`)
      },
      { timeoutMs: 15_000 },
    )
    const grownBytes = rssBytes() - before.rss
    assert.ok(grownBytes < LEFT_RSS_BYTES, `the daemon is ${Math.round(grownBytes / MIB)} MiB larger`)
    assert.equal(await container.sh('echo still well'), 'still well')
  })

  /** One of the ways in which clients behave, by its number. */
  async function someSession(number: number): Promise<void> {
    const transport = transports[number % 2] ?? 'spdy'
    const pauseMs = randomInt(1, 60)
    switch (number % 7) {
      case 0: {
        const session = await openExec(container, ['echo', 'x'], { transport })
        assert.equal(await text(session.stdout), 'x\n')
        break
      }
      case 1: {
        // Stalls, then is cut.
        const session = await openExec(container, ['yes'], { transport })
        session.stdout?.pause()
        await sleep(pauseMs)
        session.close()
        break
      }
      case 2: {
        const session = await openExec(container, ['sh', '-c', 'sleep 7700 & sleep 7701'], { transport, tty: true, stdin: true })
        session.resize({ columns: 80, rows: 24 })
        await sleep(pauseMs)
        session.close()
        break
      }
      case 3: {
        const session = await openAttach(container, { transport })
        await sleep(pauseMs)
        session.close()
        break
      }
      case 4: {
        const session = await openForward(container.pod, [ECHO], number % 2 ? 'spdy' : 'tunnel')
        const connection = session.open(ECHO)
        connection.writable.end('ping')
        assert.equal(await text(connection.readable), 'ping')
        session.close()
        break
      }
      case 5: {
        // Cut in the middle of both directions.
        const session = await openForward(container.pod, [ECHO])
        const connection = session.open(ECHO)
        connection.readable.pause()
        connection.writable.on('error', () => undefined)
        connection.writable.write(Buffer.alloc(MIB))
        await sleep(pauseMs)
        session.close()
        break
      }
      default: {
        // Left at once.
        const session = await openExec(container, ['yes'], { transport, stdin: true })
        session.close()
      }
    }
  }
})
