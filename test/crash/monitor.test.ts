// The monitor of a container dies, or stops: the container can still be stopped, and its state is told.
import assert from 'node:assert/strict'
import { ContainerState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { run } from '@coracle/testkit/program'
import type { ContainerUnderTest } from '../cri/suite.ts'
import { crashTests } from './scene.ts'

const monitorsOf = async ({ id }: ContainerUnderTest): Promise<number[]> => {
  const { stdout } = await run(['pgrep', '-f', `conmon.*${id}`])
  return stdout.split('\n').filter(Boolean).map(Number)
}

const signalMonitors = async (container: ContainerUnderTest, signal: NodeJS.Signals): Promise<void> => {
  const pids = await monitorsOf(container)
  assert.ok(pids.length > 0, 'the container has a monitor')
  for (const pid of pids) process.kill(pid, signal)
}

const isGone = async (command: string): Promise<boolean> => (await run(['pgrep', '-f', `^${command}$`])).stdout.trim() === ''

crashTests('the monitor of a container', (crashTest) => {
  crashTest('killed: the container can be stopped, and is gone then', async ({ survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '21098'] })
    await signalMonitors(container, 'SIGKILL')
    await container.stop(1)
    const status = await container.status()
    assert.equal(status.state, ContainerState.CONTAINER_EXITED)
    assert.notEqual(status.exitCode, 0)
    await eventually('the process is gone', () => isGone('sleep 21098'))
    await container.remove()
  })

  crashTest('killed: the end of the container is still noticed', async ({ survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '21097'] })
    await signalMonitors(container, 'SIGKILL')
    const { stdout } = await run(['pgrep', '-f', '^sleep 21097$'])
    if (stdout.trim()) process.kill(Number(stdout.trim()), 'SIGKILL')
    const status = await container.exited(15_000)
    assert.notEqual(status.exitCode, 0)
  })

  crashTest('killed: the pod can be removed', async ({ cri }) => {
    const pod = await cri.pod()
    const container = await pod.run({ command: ['sleep', '21096'] })
    await signalMonitors(container, 'SIGKILL')
    await pod.stop()
    await pod.remove()
    await eventually('the process is gone', () => isGone('sleep 21096'))
  })

  crashTest('stopped: the container can be stopped', async ({ survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '21095'] })
    await signalMonitors(container, 'SIGSTOP')
    try {
      await container.stop(0)
      await eventually('the process is gone', () => isGone('sleep 21095'))
      assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
    } finally {
      for (const pid of await monitorsOf(container)) process.kill(pid, 'SIGCONT')
    }
  })

  crashTest('killed while the daemon is down: the container can be stopped afterwards', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '21094'] })
    await cri.node.kill9()
    await signalMonitors(container, 'SIGKILL')
    await cri.node.restart()
    await container.stop(1)
    assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
    await eventually('the process is gone', () => isGone('sleep 21094'))
  })
})
