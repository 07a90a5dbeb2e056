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

  /** What a command that goes on prints until `enough`. */
  const until = async (enough: (text: string) => boolean, ...args: string[]): Promise<string> => {
    const child = spawn(program, ['-r', `unix://${cri.node.world.socket}`, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      await eventually(`${args.join(' ')} has printed enough`, () => enough(text), { timeoutMs: 30_000 })
      return text
    } finally {
      child.kill('SIGINT')
      await ended
    }
  }

  it('stats has the columns of crictl', async () => {
    await using pod = await cri.pod()
    await container(pod, 'sleep', '1000')
    const [head = '', row = ''] = (await coracle('stats', '-s', '0.1')).split('\n')
    assert.match(head, /^CONTAINER +NAME +CPU % +MEM +DISK +INODES +SWAP$/)
    assert.match(row, / 0B$/)
  })

  it('stats and statsp -w go on as JSON and YAML, too', async () => {
    await using pod = await cri.pod()
    const { containerId } = await container(pod, 'sleep', '1000')
    const json = await until((text) => text.split(containerId).length > 2, 'stats', '-w', '-s', '0.2', '-o', 'json')
    assert.equal(json.match(/^{$/gm)?.length, json.split('"stats"').length - 1)
    const yaml = await until((text) => text.split('---\nstats:').length > 2, 'statsp', '-w', '-s', '0.2', '-o', 'yaml')
    assert.match(yaml, new RegExp(pod.id))
  })

  it('stats refuses what no timer can wait', async () => {
    for (const seconds of ['-1', '3000000']) {
      const { stderr, exitCode } = await run([program, '-r', `unix://${cri.node.world.socket}`, 'stats', `-s${seconds}`], 60_000)
      assert.notEqual(exitCode, 0)
      assert.match(stderr, /--seconds is .*expected 0 to/)
    }
  })

  it('metricdescs is JSON, as with crictl', async () => {
    const { descriptors } = JSON.parse(await coracle('metricdescs')) as { descriptors: { name: string }[] }
    assert.equal(descriptors.length, 56)
    assert.match(await coracle('metricdescs', '-o', 'table'), /^METRIC +LABELS +MEANING$/m)
  })

  it('metricsp -w goes on until interrupted', async () => {
    await using pod = await cri.pod()
    const twice = (text: string) => text.split(pod.id).length > 2
    await until(twice, 'metricsp', '-w', '--name', '^container_network_receive_bytes_total$')
  })

  it('events name a container that has been removed', async () => {
    await using pod = await cri.pod()
    let last = Promise.resolve()
    const comeAndGo = async () => {
      const config = pod.containerConfig()
      const { containerId } = await cri.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config })
      await cri.runtime.removeContainer({ containerId })
    }
    const deleted = /^\S+ deleted container [0-9a-f]{13} c\d+ of pod tests\/pod-\d+$/m
    let isSeen = false
    const enough = (text: string) => {
      isSeen ||= deleted.test(text)
      last = last.then(() => (isSeen ? undefined : comeAndGo()))
      return isSeen
    }
    await until(enough, 'events', '-o', 'table', '--type', 'deleted')
    await last
  })

  it('events in the forms of crictl', async () => {
    const happen = async () => {
      await using _pod = await cri.pod()
    }
    const seen = async (pattern: RegExp, ...args: string[]) => {
      let pods = Promise.resolve()
      let isSeen = false
      const enough = (text: string) => {
        isSeen ||= pattern.test(text)
        // The stream may open only after the first pods have come and gone.
        pods = pods.then(() => (isSeen ? undefined : happen()))
        return isSeen
      }
      await until(enough, 'events', ...args)
      await pods
    }
    await seen(/^{.*"containerEventType":"CONTAINER_CREATED_EVENT".*}$/m)
    await seen(/^containerEventType: CONTAINER_CREATED_EVENT$/m, '-o', 'yaml')
    await seen(
      /^CONTAINER_CREATED_EVENT of tests$/m,
      ...['-o', 'go-template', '--template', '{{.containerEventType}} of {{.podSandboxStatus.metadata.namespace}}'],
    )
  })
})
