// Which namespaces a container has, whom it shares them with, and where its processes are in the tree of cgroups.
import assert from 'node:assert/strict'
import { readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { failsWith } from '../cri/expect.ts'
import { needs } from './differences.ts'
import { type Bed, type ContainerInit, type ContainerUnderTest, isolationSuite, type PodInit } from './suite.ts'

const POD = 0
const CONTAINER = 1
const NODE = 2
const TARGET = 3

const options = (namespaceOptions: object): ContainerInit =>
  ({ command: ['sleep', '10000'], linux: { securityContext: { namespaceOptions } } }) as ContainerInit
const podOptions = (namespaceOptions: object): PodInit => ({ linux: { securityContext: { namespaceOptions } } }) as PodInit

/** With whom each namespace is shared, checked against the links of /proc. */
async function sharing(bed: Bed, container: ContainerUnderTest): Promise<Readonly<Record<string, string>>> {
  const found = await bed.inspect(container)
  for (const { type, inode } of found.namespaces)
    assert.equal(readlinkSync(`/proc/${found.pid}/ns/${type}`), `${type}:[${inode}]`)
  return Object.fromEntries(found.namespaces.map(({ type, sharedWith }) => [type, sharedWith]))
}

isolationSuite('namespaces', (bed) => {
  test('an ordinary container: its own processes and mounts, the pod’s network, IPC and name', async () => {
    await using pod = await bed.pod()
    const container = await pod.run(options({ pid: CONTAINER }))
    const shared = await sharing(bed, container)
    assert.equal(shared['net'], 'pod')
    assert.equal(shared['mnt'], 'own')
    if (bed.sandboxed) return
    assert.deepEqual([shared['pid'], shared['ipc'], shared['uts']], ['own', 'pod', 'pod'])
    for (const type of ['net', 'ipc', 'uts', 'pid', 'mnt']) {
      const inside = await container.sh(`readlink /proc/self/ns/${type}`)
      const { namespaces } = await bed.inspect(container)
      assert.equal(inside, `${type}:[${namespaces.find((n) => n.type === type)?.inode}]`)
    }
    assert.equal(await container.sh('cat /proc/1/comm'), 'sleep')
  })

  test('a shared PID namespace', needs(bed.handler, 'sharedProcesses'), async () => {
    await using pod = await bed.pod(podOptions({ pid: POD }))
    const [one, other] = [await pod.run(options({ pid: POD })), await pod.run(options({ pid: POD }))]
    assert.equal((await sharing(bed, one))['pid'], 'pod')
    assert.equal((await sharing(bed, other))['pid'], 'pod')
    assert.equal(await one.sh("ps | grep -c 'sleep 1000[0]'"), '2')
  })

  test('the PID namespace of another container', needs(bed.handler, 'sharedProcesses'), async () => {
    await using pod = await bed.pod()
    const target = await pod.run(options({ pid: CONTAINER }))
    const guest = await pod.run(options({ pid: TARGET, targetId: target.id }))
    assert.equal((await sharing(bed, guest))['pid'], `container ${target.id}`)
    assert.match(await guest.sh('cat /proc/1/comm'), /sleep/)
  })

  test('the node’s processes', needs(bed.handler, 'hostProcesses'), async () => {
    await using pod = await bed.pod(podOptions({ pid: NODE }))
    const container = await pod.run(options({ pid: NODE }))
    assert.equal((await sharing(bed, container))['pid'], 'host')
  })

  test('the node’s IPC', needs(bed.handler, 'sharedIpc'), async () => {
    await using pod = await bed.pod(podOptions({ pid: CONTAINER, ipc: NODE }))
    const container = await pod.run(options({ pid: CONTAINER, ipc: NODE }))
    assert.equal((await sharing(bed, container))['ipc'], 'host')
  })

  test('the node’s network', async () => {
    await using pod = await bed.pod(podOptions({ pid: CONTAINER, network: NODE }))
    const container = await pod.run(options({ pid: CONTAINER, network: NODE }))
    const shared = await sharing(bed, container)
    assert.equal(shared['net'], 'host')
    if (!bed.sandboxed) assert.equal(shared['uts'], 'host')
  })

  test('what cannot be shared is refused', { skip: bed.sandboxed ? false : 'this handler can share them' }, async () => {
    for (const asked of [{ pid: POD }, { pid: NODE }, { pid: CONTAINER, ipc: NODE }])
      await failsWith('failed_precondition', bed.pod(podOptions(asked)), /kernel of their own/)
    await using pod = await bed.pod()
    const target = await pod.run(options({ pid: CONTAINER }))
    await failsWith('failed_precondition', pod.create(options({ pid: TARGET, targetId: target.id })), /TARGET/)
  })

  test('CVE-2025-47291: every process is below the pod’s cgroup, the monitor is not', async () => {
    await using pod = await bed.pod()
    const container = await pod.run(options({ pid: CONTAINER }))
    const { cgroups } = await bed.inspect(container)
    assert.ok(cgroups.length > 0)
    // gVisor joins only hierarchies that have controllers.
    for (const { path, controllers } of cgroups.filter((cgroup) => !bed.sandboxed || cgroup.controllers.length > 0))
      assert.ok(path.includes(pod.id) && path.endsWith(container.id), `${controllers.join(',')}: ${path}`)
  })

  test('CVE-2024-21626: the init has its three descriptors and nothing that leads outside', async () => {
    await using pod = await bed.pod()
    const container = await pod.run(options({ pid: CONTAINER }))
    const { descriptors } = await bed.inspect(container)
    if (!bed.sandboxed) {
      assert.deepEqual(
        descriptors.map(({ fd }) => fd),
        [0, 1, 2],
      )
      assert.deepEqual(
        descriptors.filter(({ outside }) => outside),
        [],
      )
    }
    // `ls` itself holds the directory open.
    assert.equal(await container.sh('exec ls /proc/self/fd | wc -w'), bed.sandboxed ? '4' : '4')
  })
})
