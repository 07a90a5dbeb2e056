// `coracle exec -it … sh` as a person has it: in a terminal (tmux), by what is on the screen.
import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { eventually } from '@coracle/testkit/eventually'
import { run } from '@coracle/testkit/program'
import { type ContainerUnderTest, criSuite } from '../cri/suite.ts'
import { transports } from './sessions.ts'

const coracle = fileURLToPath(new URL('../../bin/coracle', import.meta.url))
const WAIT = { timeoutMs: 20_000, intervalMs: 150 }

criSuite('a terminal', (cri) => {
  let container: ContainerUnderTest
  const tmux = async (...args: string[]) => {
    // A server of its own, by its own name: nobody else's sessions are touched.
    const { exitCode, stdout, stderr } = await run(['tmux', '-L', `coracle-test-${process.pid}`, '-f', '/dev/null', ...args])
    assert.equal(exitCode, 0, stderr)
    return stdout
  }
  const type = (...keys: string[]) => tmux('send-keys', ...keys)
  const screen = () => tmux('capture-pane', '-p')
  const shows = (pattern: RegExp) =>
    eventually(
      `the screen shows ${pattern}`,
      async () => {
        const text = await screen()
        if (pattern.test(text)) return true
        throw new Error(text.trimEnd())
      },
      WAIT,
    )

  before(async () => {
    container = await (await cri.pod()).run({ metadata: { name: 'shell', attempt: 0 } })
    await tmux('new-session', '-d', '-x', '100', '-y', '30', 'env PS1=local:: sh')
    await tmux('set-option', '-g', 'remain-on-exit', 'off')
  })
  after(() => tmux('kill-server').catch(() => undefined))

  const start = async (...args: string[]) => {
    await type('clear', 'Enter')
    const command = [coracle, '-r', `unix://${cri.node.world.socket}`, ...args].join(' ')
    await type(`${command}; echo code=$?; stty -a | grep -c -- ' icanon'`, 'Enter')
    await shows(/\/ #\s*$/)
  }
  /** The shell outside is back, and its terminal reads lines again. */
  const isBack = (exitCode: number) => shows(new RegExp(`code=${exitCode}\\n1\\nlocal::`))

  for (const transport of transports) {
    it(`exec -it: keys, size, Ctrl-C, exit code, terminal restored (${transport})`, { timeout: 90_000 }, async () => {
      await tmux('resize-window', '-x', '100', '-y', '30')
      await start('exec', '-it', '--transport', transport, container.id, 'sh')
      await type('stty size', 'Enter')
      await shows(/^30 100$/m)
      await tmux('resize-window', '-x', '77', '-y', '25')
      await sleep(300)
      await type('stty size', 'Enter')
      await shows(/^25 77$/m)
      await type('sleep 4000', 'Enter')
      await sleep(500)
      await type('C-c')
      await type('echo af""ter', 'Enter')
      await shows(/^after$/m)
      await type('exit 9', 'Enter')
      await isBack(9)
    })
  }

  it('the detach keys leave', { timeout: 60_000 }, async () => {
    await start('exec', '-it', container.id, 'sh')
    await type('C-p')
    await type('C-q')
    await isBack(129)
  })

  it('debug opens a shell that sees the processes of the container', { timeout: 60_000 }, async () => {
    await start('debug', container.id)
    await type('ps; hostname', 'Enter')
    await shows(/sleep 10000/)
    await type('exit 4', 'Enter')
    await isBack(4)
    const { containers } = await cri.runtime.listContainers({})
    assert.equal(containers.length, 1)
  })
})
