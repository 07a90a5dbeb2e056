// A pod's whole life under each handler: start, log, exec, attach-free stop, stats, removal in every state.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ContainerState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { isolationSuite } from './suite.ts'

isolationSuite('handlers', (bed) => {
  const namespaceOptions = { pid: 1 } as const
  const own = { linux: { securityContext: { namespaceOptions } } } as Parameters<typeof bed.pod>[0]

  test('start, log, exec, exit code, signal, stop, remove', async () => {
    await using pod = await bed.pod(own)
    const container = await pod.run({
      command: ['sh', '-c', 'trap "echo bye; exit 7" TERM; echo hello; while :; do sleep 0.1; done'],
    })
    await container.logContains('hello')
    assert.deepEqual(await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']), {
      stdout: 'out\n',
      stderr: 'err\n',
      exitCode: 3,
    })
    await container.stop(20)
    const status = await container.status()
    assert.deepEqual([status.state, status.exitCode], [ContainerState.CONTAINER_EXITED, 7])
    await container.logContains('bye')
    await container.remove()
  })

  test('a container that ignores its signal is killed', async () => {
    await using pod = await bed.pod(own)
    const container = await pod.run({ command: ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done'] })
    await container.logContains('ready')
    await container.stop(1)
    assert.equal((await container.status()).exitCode, 137)
  })

  test('created and never started: stopped and removed', async () => {
    await using pod = await bed.pod(own)
    const container = await pod.create()
    await pod.stop()
    assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
    await container.remove()
  })

  test('a program that is not there is told at the start', async () => {
    await using pod = await bed.pod(own)
    const container = await pod.create({ command: ['/nope'] })
    await assert.rejects(container.start(), /nope/)
  })

  test('the pod’s address and the node reach it', async () => {
    await using pod = await bed.pod(own)
    const one = await pod.run({ command: ['nc', '-ll', '-p', '9000', '-e', 'echo', 'answered'] })
    const other = await pod.run()
    const ip = await pod.ip()
    const ask = (address: string) =>
      eventually(`${address} answers`, async () =>
        (await other.exec(['sh', '-c', `echo | nc -w 5 ${address} 9000`])).stdout.includes('answered'),
      )
    await ask('127.0.0.1')
    await ask(ip)
    assert.equal((await one.status()).state, ContainerState.CONTAINER_RUNNING)
  })

  test('stats are those of its cgroup', async () => {
    await using pod = await bed.pod(own)
    const container = await pod.run({ command: ['sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 10000'] })
    const found = await eventually('it has used CPU', async () => {
      const { stats } = await bed.cri.runtime.containerStats({ containerId: container.id })
      return (stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n && stats
    })
    assert.ok((found.memory?.workingSetBytes?.value ?? 0n) > 0n)
  })

  test('features told in Status are booleans of this handler', async () => {
    const { runtimeHandlers } = await bed.cri.runtime.status({})
    const handler = runtimeHandlers.find(({ name }) => name === bed.handler)
    assert.ok(handler, 'the handler is listed')
    if (bed.sandboxed)
      assert.deepEqual([handler.features?.recursiveReadOnlyMounts, handler.features?.userNamespaces], [false, false])
  })
})
