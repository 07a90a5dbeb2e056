// What happens while the daemon is down is told rightly afterwards; and after a reboot nothing is believed to run.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ContainerEventType, ContainerState, NamespaceMode, PodSandboxState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { setFaults } from '@coracle/testkit/faulty-plugin'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import { sweep } from '@coracle/testkit/sweep'
import { failsWith } from '../cri/expect.ts'
import { Cri } from '../cri/suite.ts'
import { ids, inside, mapped } from '../isolation/userns-scene.ts'
import { crashTests } from './scene.ts'

crashTests('while the daemon is down', (crashTest) => {
  crashTest('a container that ends: its exit code and time', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({ command: ['sh', '-c', 'sleep 1; echo end; exit 7'] })
    await cri.node.kill9()
    await sleep(2_500)
    await cri.node.restart()
    const status = await container.status()
    assert.equal(status.state, ContainerState.CONTAINER_EXITED)
    assert.equal(status.exitCode, 7)
    assert.equal(status.reason, 'Error')
    const truthMs = Date.parse(container.log().at(-1)?.time ?? '')
    assert.ok(Math.abs(Number(status.finishedAt / 1_000_000n) - truthMs) < 1_000, 'within a second of the truth')
  })

  crashTest('a container that ends: who asks for events afterwards is told', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({ command: ['sh', '-c', 'sleep 1; exit 7'] })
    await cri.node.kill9()
    await sleep(2_500)
    await cri.node.restart()
    for (let readers = 0; readers < 2; readers++) {
      const signal = AbortSignal.timeout(10_000)
      for await (const event of cri.runtime.getContainerEvents({}, { signal, timeoutMs: 0 })) {
        assert.equal(event.containerId, container.id)
        assert.equal(event.containerEventType, ContainerEventType.CONTAINER_STOPPED_EVENT)
        assert.equal(event.containersStatuses.find(({ id }) => id === container.id)?.exitCode, 7)
        break
      }
    }
  })

  crashTest('one that ends with 0: Completed', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '1'] })
    await cri.node.kill9()
    await sleep(2_000)
    await cri.node.restart()
    const { reason, exitCode } = await container.status()
    assert.deepEqual([reason, exitCode], ['Completed', 0])
  })

  crashTest('one that runs out of memory: OOMKilled', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({
      command: ['sh', '-c', 'sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1'],
      linux: { resources: { memoryLimitInBytes: BigInt(24 << 20) } },
    })
    await cri.node.kill9()
    await sleep(2_500)
    await cri.node.restart()
    const { reason, exitCode } = await container.status()
    assert.deepEqual([reason, exitCode], ['OOMKilled', 137])
  })

  crashTest('one whose monitor is killed too: it is not believed to run', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({ command: ['sleep', '43210'] })
    await cri.node.kill9()
    const { stdout } = await run(['pgrep', '-f', `conmon.*${container.id}`])
    for (const pid of stdout.split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL')
    const init = (await run(['pgrep', '-f', '^sleep 43210$'])).stdout.trim()
    if (init) process.kill(Number(init), 'SIGKILL')
    await cri.node.restart()
    const status = await container.exited()
    assert.notEqual(status.exitCode, 0)
  })

  crashTest('nothing: several restarts change nothing', async ({ cri, survivor }) => {
    const before = await survivor.container.status()
    for (let round = 0; round < 3; round++) {
      await cri.node.kill9()
      await cri.node.restart()
    }
    await cri.node.stop()
    await cri.node.restart()
    assert.deepEqual(await survivor.container.status(), before)
    assert.equal(await survivor.pod.ip(), (await survivor.pod.status()).network?.ip)
  })

  crashTest('a container that outlives it can be stopped, with its grace', async ({ cri, survivor }) => {
    const container = await survivor.pod.run({
      command: ['sh', '-c', 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'],
    })
    await container.logContains('ready')
    await cri.node.kill9()
    await cri.node.restart()
    await container.stop(10)
    assert.equal((await container.status()).exitCode, 9)
  })

  crashTest('DEL that fails at a stop is repeated after a restart', async ({ cri }) => {
    const pod = await cri.pod()
    setFaults(cri.node.world.directory, { delError: 'still painting' })
    await assert.rejects(pod.stop())
    await cri.node.kill9()
    await cri.node.restart()
    setFaults(cri.node.world.directory, {})
    await pod.stop()
    await pod.remove()
  })
})

describe('after a simulated reboot', needsRoot(), () => {
  it('pods are NOTREADY, containers EXITED, addresses given back; the same pod runs again', async () => {
    await using cri = await new Cri().open({ faultyPlugin: true })
    const pod = await cri.pod()
    const shared = await cri.pod({ linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } })
    const volume = join(cri.node.world.pods, 'volume')
    mkdirSync(volume)
    const inUserns = await cri.pod(mapped())
    const withIds = { ...inside(), mounts: [{ containerPath: '/data', hostPath: volume, uidMappings: ids, gidMappings: ids }] }
    const mappedRunning = await inUserns.run(withIds)
    await mappedRunning.sh('echo kept >/data/kept; chown 7 /data/kept')
    const running = await pod.run()
    const created = await pod.create()
    const ended = await pod.run({ command: ['sh', '-c', 'exit 3'] })
    await ended.exited()
    await cri.node.kill9()
    await reboot(cri)
    await cri.node.restart()
    for (const { id } of [pod, shared, inUserns]) {
      const { status } = await cri.runtime.podSandboxStatus({ podSandboxId: id })
      assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY)
    }
    for (const container of [running, created, ended, mappedRunning]) {
      assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
    }
    assert.equal((await ended.status()).exitCode, 3)
    assert.notEqual((await running.status()).exitCode, 0)
    const leases = async () => (await cri.node.leaks()).filter((line) => line.startsWith('IPAM lease'))
    await eventually('the addresses are given back', async () => (await leases()).length === 0)
    // Its user namespace went with the machine: nothing more is made in the pod, and it is not made in the node's.
    await failsWith('failed_precondition', inUserns.create(withIds), /not ready/)
    for (const old of [pod, shared, inUserns]) await old[Symbol.asyncDispose]()
    await using again = await cri.pod(pod.config)
    await again.run()
    await using mappedAgain = await cri.pod(inUserns.config)
    const same = await mappedAgain.run(withIds)
    assert.equal(
      await same.sh('cat /data/kept; stat -c %u /data/kept; tr -s " " </proc/self/uid_map'),
      'kept\n7\n 0 1000000 65536',
    )
  })
})

/** What a power cycle takes, besides the processes, mounts, rules and cgroups: the state directory. */
async function reboot(cri: Cri): Promise<void> {
  await sweep(cri.node)
  const { state } = cri.node.world
  for (const name of readdirSync(state)) rmSync(join(state, name), { recursive: true, force: true })
}
