// `coracle top` and the flags of its neighbours, against a real daemon and on a real terminal.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { afterEach, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually } from '@coracle/testkit/eventually'
import { run } from '@coracle/testkit/program'
import { criSuite, type PodUnderTest } from '../cri/suite.ts'

const program = fileURLToPath(new URL('../../bin/coracle', import.meta.url))

criSuite('coracle top', (cri) => {
  afterEach(() => cri.node.clear())
  const coracle = async (...args: string[]) => {
    const { stdout, stderr, exitCode } = await run([program, '-r', `unix://${cri.node.world.socket}`, ...args], 60_000)
    assert.equal(exitCode, 0, stderr)
    return stdout
  }
  const container = async (pod: PodUnderTest, ...command: string[]) => {
    const config = pod.containerConfig({ command })
    const { containerId } = await cri.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config })
    await cri.runtime.startContainer({ containerId })
    return { containerId, name: config.metadata?.name ?? '' }
  }

  it('--once prints one table, sorted', async () => {
    await using pod = await cri.pod()
    const busy = await container(pod, 'sh', '-c', 'while :; do :; done')
    const idle = await container(pod, 'sleep', '1000')
    const lines = (await coracle('top', '--once')).trimEnd().split('\n')
    assert.match(lines[0] ?? '', /^CONTAINER +NAME +POD +CPU % +MEM/)
    assert.match(
      lines[1] ?? '',
      new RegExp(`^${busy.containerId.slice(0, 13)} +${busy.name} +tests/${pod.config.metadata?.name} +[1-9]`),
    )
    assert.match(lines[2] ?? '', new RegExp(`^${idle.containerId.slice(0, 13)}`))
    assert.match(await coracle('top', '--once', '--pods'), new RegExp(`${pod.id.slice(0, 13)} +tests/`))
  })

  it('lives on a terminal, hears keys and gives the terminal back', async () => {
    await using pod = await cri.pod()
    const { name } = await container(pod, 'sleep', '1000')
    const command = `stty rows 20 columns 100; ${program} -r unix://${cri.node.world.socket} top -s 1; echo left $?; stty -a`
    const child = spawn('script', ['-qfec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm' },
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      await eventually('the first picture', () => output.includes(`${name} `), { timeoutMs: 30_000 })
      assert.ok(output.startsWith('\u001b[?1049h\u001b[?25l'))
      child.stdin.write('m')
      await eventually('sorted by memory', () => output.includes('by mem'))
      child.stdin.write('p')
      await eventually('pods', () => output.includes('1 pods'))
      child.stdin.write('q')
      await eventually('the end', () => output.includes('left 0'), { timeoutMs: 30_000 })
      assert.match(output, /\[\?25h\u001b\[\?1049lleft 0/)
      await ended
      assert.match(output.slice(output.indexOf('left 0')), / icanon/)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('stats -a has what has ended, -w goes on until interrupted', async () => {
    await using pod = await cri.pod()
    const { containerId } = await container(pod, 'true')
    await eventually('it has ended', async () => !(await coracle('stats')).includes(containerId.slice(0, 13)))
    assert.match(await coracle('stats', '-a'), new RegExp(`^${containerId.slice(0, 13)} +\\S+ +- `, 'm'))
    const child = spawn(program, ['-r', `unix://${cri.node.world.socket}`, 'statsp', '-w', '-s', '0.2'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let tables = 0
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      tables += text.split('POD ID').length - 1
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    await eventually('three tables', () => tables >= 3, { timeoutMs: 30_000 })
    child.kill('SIGINT')
    assert.equal(await ended, 130)
  })
})
