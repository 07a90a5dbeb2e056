// Pods with user namespaces, under each runtime: what their processes are to themselves and to the host, files in both views, and
// that nothing of it is left (which the node asserts at its end).
import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ContainerState, NamespaceMode } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { failsWith } from '../cri/expect.ts'
import { type Cri, criSuite } from '../cri/suite.ts'
import { startEchoServer } from '../streaming/echo-server.ts'
import { openExec, openForward, outcomeOf } from '../streaming/sessions.ts'
import { base, ids, inside, mapped, owner, pidOf, usernsOptions } from './userns-scene.ts'

criSuite('user namespaces', (cri) => {
  for (const handler of ['crun', 'runc'])
    describe(handler, () => {
      identities(cri, handler)
      namespaces(cri, handler)
      operations(cri, handler)
    })
  refusals(cri)
})

function identities(cri: Cri, handler: string): void {
  it('maps ids, and shows every file as its owner’s', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run(inside())
    assert.match(await container.sh('cat /proc/self/uid_map'), /^\s*0\s+1000000\s+65536$/)
    assert.match(await container.sh('cat /proc/self/gid_map'), /^\s*0\s+1000000\s+65536$/)
    const pid = await pidOf(cri, container.id)
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t1000000\t/m)
    const files = '/ /bin/busybox /etc/passwd /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/shm'
    assert.equal(await container.sh(`stat -c %u:%g ${files} | sort -u`), '0:0')
    await container.sh('echo x >/made; chown 7:8 /made; echo y >>/etc/passwd; echo z >/dev/shm/z; mkdir /etc/d; mv /etc/group /g')
    const root = `/proc/${pid}/root`
    assert.deepEqual(owner(`${root}/made`), [base + 7, base + 8])
    assert.deepEqual(
      [owner(`${root}/etc/passwd`), owner(`${root}/etc/d`)],
      [
        [base, base],
        [base, base],
      ],
    )
    assert.equal(await container.sh('stat -c %u /etc/passwd /g /etc/d | sort -u'), '0')
    // Another container of the pod shares the memory and not the root; its users are the same.
    const other = await pod.run(inside({ runAsUser: { value: 1234n } }))
    assert.equal(await other.sh('id -u; stat -c %u /dev/shm/z; ls / | grep -c made || true'), '1234\n0\n0')
  })

  it('root has power over the pod, and none over the host', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const all = { capabilities: { addCapabilities: ['ALL'] }, seccomp: { profileType: 1 } }
    const container = await pod.run(inside(all))
    assert.match(await container.sh('ip addr add 10.9.8.7/32 dev lo; ip addr show lo'), /10\.9\.8\.7/)
    assert.equal(await container.sh('hostname other && hostname'), 'other')
    assert.equal(await container.sh('mount -t tmpfs x /tmp && echo mounted'), 'mounted')
    for (const [script, words] of [
      ['mknod /disk b 254 0', /not permitted/],
      ['echo 1 >/proc/sys/kernel/panic', /denied|Read-only/],
      [
        'mount -o remount,rw /sys && echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/defrag',
        /denied|Read-only|not permitted/,
      ],
      ['chown 0:0 /dev/null', /not permitted/],
    ] as const) {
      const { exitCode, stderr } = await container.exec(['sh', '-c', script])
      assert.notEqual(exitCode, 0, script)
      assert.match(stderr, words, script)
    }
  })

  it('a privileged container is privileged in its pod only', async () => {
    const init = mapped()
    await using pod = await cri.pod({ linux: { securityContext: { ...init.linux?.securityContext, privileged: true } } }, handler)
    const container = await pod.run(inside({ privileged: true }))
    assert.match(await container.sh('cat /proc/self/uid_map'), /1000000/)
    assert.match(await container.sh('grep CapEff /proc/self/status'), /000001ffffffffff|000001fffeffffff/)
    assert.equal((await container.exec(['mknod', '/disk', 'b', '254', '0'])).exitCode, 1)
    assert.equal((await container.exec(['sh', '-c', 'echo 1 >/proc/sys/kernel/panic'])).exitCode, 1)
  })

  it('the status tells what was asked for', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const { usernsOptions: told } = (await pod.status()).linux?.namespaces?.options ?? {}
    assert.equal(told?.mode, NamespaceMode.POD)
    assert.deepEqual(
      [told?.uids, told?.gids].map((list) => list?.map(({ containerId, hostId, length }) => [containerId, hostId, length])),
      [[[0, base, 65536]], [[0, base, 65536]]],
    )
    const container = await pod.run({ ...inside({ runAsUser: { value: 5n }, runAsGroup: { value: 6n } }) })
    const { user, state } = await container.status()
    assert.deepEqual([user?.linux?.uid, user?.linux?.gid, state], [5n, 6n, ContainerState.CONTAINER_RUNNING])
    const { runtimeHandlers, features } = await cri.runtime.status({})
    assert.equal(runtimeHandlers.find(({ name }) => name === handler)?.features?.userNamespaces, true)
    assert.equal(features?.userNamespacesHostNetwork, true)
  })
}

function namespaces(cri: Cri, handler: string): void {
  it('the network works both ways, and belongs to the pod', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const raw = { capabilities: { addCapabilities: ['NET_RAW'] } }
    const container = await pod.run(inside(raw))
    const ip = await pod.ip()
    assert.match(await container.sh('ip -4 addr show eth0'), new RegExp(`inet ${ip.replaceAll('.', '\\.')}/`))
    await using other = await cri.pod({}, handler)
    const peer = await other.run({ linux: { securityContext: raw } })
    assert.match(await peer.sh(`ping -c 1 -W 5 ${ip}`), /1 packets received/)
    assert.match(await container.sh(`ping -c 1 -W 5 ${await other.ip()}`), /1 packets received/)
    assert.equal(await container.sh('ls -d /sys/class/net/eth0 /dev/mqueue'), '/dev/mqueue\n/sys/class/net/eth0')
  })

  it('a PID namespace of the pod, and another container’s', async () => {
    const shared = { pid: NamespaceMode.POD }
    await using pod = await cri.pod(mapped(shared), handler)
    const first = await pod.run({ ...inside({}, shared), command: ['sleep', '7777'] })
    assert.match(await first.sh('cat /proc/1/comm'), /^(init|catatonit)$/)
    const second = await pod.run(inside({}, shared))
    assert.match(await second.sh('ps'), /sleep 7777/)
    const own = await pod.run({ ...inside(), command: ['sleep', '8888'] })
    const guest = await pod.run(inside({}, { pid: NamespaceMode.TARGET, targetId: own.id }))
    assert.match(await guest.sh('ps'), /sleep 8888/)
    const at = async (id: string) => readlinkSync(`/proc/${await pidOf(cri, id)}/ns/user`)
    assert.equal(await at(first.id), await at(guest.id))
  })

  it('a mapping too small for nobody, with a PID namespace of the pod', async () => {
    const few = [{ containerId: 0, hostId: base, length: 1000 }]
    const options = { pid: NamespaceMode.POD, usernsOptions: { mode: NamespaceMode.POD, uids: few, gids: few } }
    await using pod = await cri.pod(mapped(options), handler)
    const container = await pod.run(inside({}, options))
    assert.match(await container.sh('cat /proc/self/uid_map; stat -c %u /proc/1'), /\s0\s+1000000\s+1000\n999$/)
  })

  it('the host’s IPC: its queues are not shown, its shared memory is nobody’s', async () => {
    const options = { ipc: NamespaceMode.NODE }
    await using pod = await cri.pod(mapped(options), handler)
    const container = await pod.run(inside({}, options))
    assert.equal(await container.sh('stat -c %u /dev/shm; ls /dev | grep -c mqueue || true'), '65534\n0')
  })

  it('on the host’s network: its devices are seen, not owned', async () => {
    const options = { network: NamespaceMode.NODE }
    await using pod = await cri.pod(mapped(options), handler)
    const container = await pod.run(inside({ capabilities: { addCapabilities: ['NET_ADMIN'] } }, options))
    assert.match(await container.sh('cat /proc/self/uid_map'), /1000000/)
    const pid = await pidOf(cri, container.id)
    assert.equal(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync('/proc/self/ns/net'))
    assert.equal(await container.sh('ls -d /sys/class/net/lo'), '/sys/class/net/lo')
    assert.match((await container.exec(['ip', 'link', 'set', 'lo', 'mtu', '1000'])).stderr, /not permitted/)
    assert.equal((await container.exec(['sh', '-c', 'echo 1 >/sys/class/net/lo/mtu'])).exitCode, 1)
    const { stdout } = await container.exec(['sh', '-c', 'mount | grep -c " /sys.* rw"'])
    assert.equal(stdout.trim(), '0', 'everything below /sys is read-only')
  })
}

function operations(cri: Cri, handler: string): void {
  it('exec, streams, port-forward and statistics', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run({ ...inside(), command: ['sh', '-c', 'echo begun; exec sleep 10000'] })
    await container.logContains('begun')
    const session = await openExec(container, ['sh', '-c', 'id -u; cat'], { stdin: true })
    session.stdin?.end('hello\n')
    assert.deepEqual(await outcomeOf(session), { stdout: '0\nhello\n', stderr: '', exitCode: 0, failure: undefined })
    const terminal = await openExec(container, ['sh', '-c', 'tty; ls -ln $(tty)'], { tty: true })
    assert.match((await outcomeOf(terminal)).stdout, /\/dev\/pts\/\d+\r\ncrw.* 0 +5 /)
    const server = await startEchoServer(container, ['127.0.0.1', 7000])
    const forward = await openForward(pod, [7000])
    const connection = forward.open(7000)
    connection.writable.write('through')
    assert.equal(String((await connection.readable.iterator({ destroyOnReturn: false }).next()).value), 'through')
    forward.close()
    await server.stop()
    const stats = await eventually('statistics are there', async () => {
      const { stats } = await cri.runtime.containerStats({ containerId: container.id })
      return stats?.memory?.workingSetBytes?.value !== undefined && stats.writableLayer?.usedBytes !== undefined && stats
    })
    assert.ok((stats.memory?.workingSetBytes?.value ?? 0n) > 0n)
  })

  it('lives through a kill -9 of the daemon', async () => {
    await using pod = await cri.pod(mapped(), handler)
    const before = await pod.run(inside())
    await before.sh('echo kept >/kept')
    const waiting = await pod.create(inside())
    const pid = await pidOf(cri, before.id)
    await cri.node.kill9()
    await cri.node.restart()
    assert.equal(await pidOf(cri, before.id), pid)
    assert.equal(await before.sh('cat /kept; id -u'), 'kept\n0')
    await waiting.start()
    const after = await pod.run(inside())
    for (const container of [waiting, after]) assert.equal(await container.sh('stat -c %u /bin/busybox'), '0')
    const at = async (id: string) => readlinkSync(`/proc/${await pidOf(cri, id)}/ns/user`)
    assert.equal(await at(after.id), await at(before.id))
  })
}

function refusals(cri: Cri): void {
  const refused = async (usernsOptions: object, words: RegExp, options: object = {}) => {
    const config = cri.podConfig(mapped({ ...options, usernsOptions }))
    await failsWith('invalid_argument', cri.runtime.runPodSandbox({ config }), words)
  }
  const { POD, CONTAINER, NODE, TARGET } = NamespaceMode
  it('mappings that no pod may have', async () => {
    const other = [{ containerId: 0, hostId: 5_000_000, length: 65536 }]
    await refused({ mode: POD, uids: [...ids, ...other], gids: ids }, /uids must hold exactly one mapping, not 2/)
    await refused({ mode: POD, uids: [], gids: [] }, /uids must hold exactly one mapping, not 0/)
    await refused({ mode: POD, uids: [{ containerId: 1, hostId: base, length: 10 }], gids: ids }, /container_id must be 0/)
    await refused({ mode: POD, uids: ids, gids: other }, /must be the same mapping/)
    await refused({ mode: POD, uids: [{ containerId: 0, hostId: 0, length: 65536 }], gids: ids }, /host_id must not be 0/)
    await refused({ mode: CONTAINER }, /mode 1 is not supported/)
    await refused({ mode: TARGET }, /mode 3 is not supported/)
    await refused({ mode: NODE, uids: ids, gids: ids }, /mode is NODE/)
    await refused(usernsOptions, /pid must not be NODE/, { pid: NODE })
  })
  it('a container that differs from its pod, or a user that is not mapped', async () => {
    await using pod = await cri.pod(mapped())
    const other = { mode: POD, uids: [{ containerId: 0, hostId: 5, length: 65536 }], gids: ids }
    await failsWith(
      'invalid_argument',
      pod.create(inside({}, { usernsOptions: { ...other, gids: other.uids } })),
      /differs from the pod's/,
    )
    await failsWith('invalid_argument', pod.create(inside({}, { usernsOptions: { mode: NODE } })), /differs from the pod's/)
    await failsWith('invalid_argument', pod.create(inside({ runAsUser: { value: 65536n } })), /user 65536 is not mapped/)
    await failsWith('invalid_argument', pod.create(inside({}, { pid: NODE })), /pid must not be NODE/)
    await using plain = await cri.pod()
    await failsWith('invalid_argument', plain.create(inside()), /differs from the pod's/)
  })
  it('gVisor, which has no mapping to give, says so', async () => {
    const { runtimeHandlers } = await cri.runtime.status({})
    assert.equal(runtimeHandlers.find(({ name }) => name === 'runsc')?.features?.userNamespaces, false)
    const call = cri.runtime.runPodSandbox({ config: cri.podConfig(mapped()), runtimeHandler: 'runsc' })
    await failsWith('failed_precondition', call, /userns_options.*runsc/)
  })
  it('NODE is the host’s', async () => {
    await using pod = await cri.pod(mapped({ usernsOptions: { mode: NODE } }))
    const container = await pod.run(inside({}, { usernsOptions: { mode: NODE } }))
    assert.equal(await container.sh('cat /proc/self/uid_map'), readFileSync('/proc/self/uid_map', 'utf8').trimEnd())
  })
}
