// What a pod's containers find: addresses, names, DNS, shared memory, sysctls, namespaces shared with each other or the host.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { readFileSync, readlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { NamespaceMode } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { type Program, run, startProgram } from '@coracle/testkit/program'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { criSuite, type PodInit } from './suite.ts'

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode

const namespaces = (options: { network?: NamespaceMode; pid?: NamespaceMode; ipc?: NamespaceMode; targetId?: string }) => ({
  securityContext: { namespaceOptions: { network: POD, pid: CONTAINER, ipc: POD, ...options } },
})

const namespaceOf = (kind: string) => `readlink /proc/self/ns/${kind}`

criSuite('the world of a pod', (cri) => {
  describe('files', () => {
    it('resolv.conf has the servers, searches and options of the request, in order', async () => {
      const dnsConfig = {
        servers: ['10.10.10.10', 'fd00::10'],
        searches: ['ns.svc.cluster.local', 'example.com'],
        options: ['ndots:5', 'timeout:1'],
      }
      await using pod = await cri.pod({ dnsConfig })
      const container = await pod.run()
      const lines = (await container.sh('cat /etc/resolv.conf')).split('\n')
      assert.deepEqual(
        lines.filter((line) => line.startsWith('nameserver')),
        ['nameserver 10.10.10.10', 'nameserver fd00::10'],
      )
      assert.ok(lines.includes('search ns.svc.cluster.local example.com'))
      assert.ok(lines.includes('options ndots:5 timeout:1'))
    })

    it("resolv.conf is the host's without a DNS configuration", async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.equal(await container.sh('cat /etc/resolv.conf'), readFileSync('/etc/resolv.conf', 'utf8').trimEnd())
    })

    it('the hostname of the request is the UTS name, /etc/hostname and HOSTNAME', async () => {
      await using pod = await cri.pod({ hostname: 'a-host.example' })
      const container = await pod.run()
      assert.equal(await container.sh('hostname'), 'a-host.example')
      assert.equal(await container.sh('cat /etc/hostname'), 'a-host.example')
      assert.equal(await container.sh('echo $HOSTNAME'), 'a-host.example')
    })

    it('/etc/hosts names localhost and the pod when the caller mounts none', needs('hostsFile'), async () => {
      await using pod = await cri.pod({ hostname: 'named' })
      const container = await pod.run()
      const hosts = await container.sh('cat /etc/hosts')
      assert.match(hosts, /^127\.0\.0\.1\s.*localhost/m)
      assert.match(hosts, new RegExp(`^${(await pod.ip()).replaceAll('.', '\\.')}\\s+named`, 'm'))
    })

    it("a mount of the caller's takes the place of ours", async () => {
      await using pod = await cri.pod({ hostname: 'named' })
      const mounts = [{ containerPath: '/etc/hosts', hostPath: '/etc/passwd' }]
      const container = await pod.run({ mounts })
      assert.equal(await container.sh('cat /etc/hosts'), readFileSync('/etc/passwd', 'utf8').trimEnd())
    })

    it('/dev/shm is a file system of 64 MiB that the containers of the pod share', async () => {
      await using pod = await cri.pod()
      const one = await pod.run()
      const two = await pod.run()
      assert.equal(await one.sh("df -k /dev/shm | tail -1 | awk '{print $2}'"), String(64 * 1024))
      await one.sh('echo hello > /dev/shm/note')
      assert.equal(await two.sh('cat /dev/shm/note'), 'hello')
    })
  })

  describe('sysctls', () => {
    it("sets namespaced ones in the pod's namespaces only", async () => {
      const before = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      const sysctls = { 'net.ipv4.ip_local_port_range': '2000\t3000', 'kernel.shm_rmid_forced': '1' }
      await using pod = await cri.pod({ linux: { sysctls } })
      const container = await pod.run()
      assert.equal(await container.sh('cat /proc/sys/net/ipv4/ip_local_port_range'), '2000\t3000')
      assert.equal(await container.sh('cat /proc/sys/kernel/shm_rmid_forced'), '1')
      assert.equal(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), before)
    })

    const refused: [string, PodInit][] = [
      ["one of the host's", { linux: { sysctls: { 'vm.swappiness': '1' } } }],
      [
        'one of a namespace that is not the pod’s own',
        { linux: { ...namespaces({ network: NODE }), sysctls: { 'net.core.somaxconn': '99' } } },
      ],
      [
        'one of an IPC namespace that is the host’s',
        { linux: { ...namespaces({ ipc: NODE }), sysctls: { 'kernel.msgmax': '9999' } } },
      ],
      ['one with a path in it', { linux: { sysctls: { '../../etc/passwd': '1' } } }],
    ]
    for (const [what, config] of refused) {
      it(`refuses ${what} and leaves nothing`, needs('sysctlChecks'), async () => {
        await failsWith('invalid_argument', cri.pod(config), /sysctl/)
        assert.deepEqual((await cri.runtime.listPodSandbox({})).items, [])
        assert.deepEqual(await cri.node.leaks(), [])
      })
    }
  })

  describe('network', () => {
    it('an interface with the address of the status, a loopback that is up, a default route', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.match(await container.sh('ip -4 addr show eth0'), new RegExp(`inet ${await pod.ip()}/24`))
      assert.match(await container.sh('ip addr show lo'), /127\.0\.0\.1/)
      assert.match(await container.sh('ip link show lo'), /[<,]UP[,>]/)
      assert.match(
        await container.sh('ip route'),
        new RegExp(`default via ${cri.node.world.subnetPrefix.replaceAll('.', '\\.')}1`),
      )
    })

    it('pods reach each other and the host reaches them', async () => {
      await using server = await cri.pod()
      await using client = await cri.pod()
      await server.run({ command: ['sh', '-c', 'while :; do echo pong | nc -l -p 8080; done'] })
      const ip = await server.ip()
      const container = await client.run()
      assert.equal(await container.sh(`for i in 1 2 3 4 5; do nc -w 2 ${ip} 8080 && break; sleep 0.3; done`), 'pong')
    })

    it("hostNetwork: the host's interfaces and name, no address of our own, the mode echoed", async () => {
      await using pod = await cri.pod({ linux: namespaces({ network: NODE }) })
      const container = await pod.run({ linux: namespaces({ network: NODE }) })
      assert.equal(await container.sh(namespaceOf('net')), readlinkSync('/proc/self/ns/net'))
      assert.equal(await container.sh('hostname'), hostname())
      const status = await pod.status()
      assert.ok(status.network, 'network is never absent')
      assert.equal(status.network.ip, '')
      assert.equal(status.linux?.namespaces?.options?.network, NODE)
    })
  })

  describe('ports', () => {
    it('a host port leads to the container, TCP', async () => {
      const hostPort = 23_471
      await using pod = await cri.pod({ portMappings: [{ protocol: 0, containerPort: 80, hostPort, hostIp: '' }] })
      await pod.run({ command: ['sh', '-c', 'while :; do echo pong | nc -l -p 80; done'] })
      await using other = await cri.pod()
      const client = await other.run()
      const gateway = `${cri.node.world.subnetPrefix}1`
      assert.equal(await client.sh(`for i in 1 2 3 4 5; do nc -w 2 ${gateway} ${hostPort} && break; sleep 0.3; done`), 'pong')
    })

    it('a host port leads to the container, UDP, on the host IP of the request only', async () => {
      const gateway = `${cri.node.world.subnetPrefix}1`
      // The bridge has its address since the first pod.
      await using _first = await cri.pod()
      const portMappings = [{ protocol: 1, containerPort: 53, hostPort: 23_473, hostIp: gateway }]
      await using pod = await cri.pod({ portMappings })
      await pod.run({ command: ['sleep', '54321'] })
      await using _server = await udpEcho('sleep 54321', 53, join(cri.node.world.directory, 'echo.log'))
      assert.equal(await askByUdp(gateway, 23_473), 'ping')
      await assert.rejects(askByUdp('127.0.0.1', 23_473))
    })

    it('a host port that a program of the host listens on is refused', needs('hostPortConflict'), async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
      // Listening on TCP: the address is not a path.
      const { port } = server.address() as AddressInfo
      const portMappings = [{ protocol: 0, containerPort: 80, hostPort: port, hostIp: '' }]
      await failsWith(
        ['failed_precondition', 'already_exists', 'resource_exhausted'],
        cri.pod({ portMappings }),
        new RegExp(`${port}`),
      )
      await new Promise((resolve) => server.close(resolve))
      await using pod = await cri.pod({ portMappings })
      assert.notEqual(await pod.ip(), '')
    })

    it('a mapping without a host port is not a mapping', async () => {
      await using pod = await cri.pod({ portMappings: [{ containerPort: 80 }] })
      assert.notEqual(await pod.ip(), '')
    })

    it('a host port of another pod is refused, and nothing is left of the second', needs('hostPortConflict'), async () => {
      const portMappings = [{ protocol: 0, containerPort: 80, hostPort: 23_472, hostIp: '' }]
      await using _pod = await cri.pod({ portMappings })
      const before = (await cri.node.leaks()).length
      await failsWith(['failed_precondition', 'already_exists', 'resource_exhausted'], cri.pod({ portMappings }), /23472/)
      assert.equal((await cri.runtime.listPodSandbox({})).items.length, 1)
      assert.equal((await cri.node.leaks()).length, before)
    })
  })

  describe('namespaces', () => {
    it('two containers share network, IPC and UTS, not mounts and PIDs', async () => {
      await using pod = await cri.pod()
      const one = await pod.run()
      const two = await pod.run()
      for (const kind of ['net', 'ipc', 'uts'])
        assert.equal(await one.sh(namespaceOf(kind)), await two.sh(namespaceOf(kind)), kind)
      for (const kind of ['mnt', 'pid']) assert.notEqual(await one.sh(namespaceOf(kind)), await two.sh(namespaceOf(kind)), kind)
      for (const kind of ['net', 'ipc', 'uts', 'mnt', 'pid'])
        assert.notEqual(await one.sh(namespaceOf(kind)), readlinkSync(`/proc/self/ns/${kind}`), kind)
    })

    it('PID mode CONTAINER: the command is process 1', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.equal(await container.sh('cat /proc/1/comm'), 'sleep')
    })

    it('without options: the defaults of the message, which are all POD', async () => {
      await using pod = await cri.pod({ linux: { securityContext: { namespaceOptions: {} } } })
      const linux = { securityContext: { namespaceOptions: {} } }
      const one = await pod.run({ linux })
      const two = await pod.run({ linux })
      for (const kind of ['net', 'ipc', 'pid'])
        assert.equal(await one.sh(namespaceOf(kind)), await two.sh(namespaceOf(kind)), kind)
      const seen = (await pod.status()).linux?.namespaces?.options
      assert.deepEqual([seen?.network, seen?.pid, seen?.ipc], [POD, POD, POD])
    })

    it('PID mode POD: containers see each other, below an init that reaps', async () => {
      const linux = namespaces({ pid: POD })
      await using pod = await cri.pod({ linux })
      const one = await pod.run({ linux, command: ['sleep', '11111'] })
      const two = await pod.run({ linux, command: ['sleep', '22222'] })
      assert.equal(await one.sh(namespaceOf('pid')), await two.sh(namespaceOf('pid')))
      const seen = await one.sh('ps')
      assert.match(seen, /sleep 11111/)
      assert.match(seen, /sleep 22222/)
      assert.doesNotMatch(await one.sh('cat /proc/1/comm'), /sleep/)
      await two.stop(0)
      assert.equal(await one.sh('echo alive'), 'alive')
    })

    it('PID mode NODE: the host’s processes', async () => {
      const linux = namespaces({ pid: NODE })
      await using pod = await cri.pod({ linux })
      const container = await pod.run({ linux })
      assert.equal(await container.sh(namespaceOf('pid')), readlinkSync('/proc/self/ns/pid'))
      await container.stop(0)
      assert.equal((await container.status()).exitCode, 137)
    })

    it('PID mode TARGET: the processes of a container of the pod', async () => {
      await using pod = await cri.pod()
      const target = await pod.run({ command: ['sleep', '33333'] })
      const linux = namespaces({ pid: TARGET, targetId: target.id })
      const debug = await pod.run({ linux })
      assert.equal(await debug.sh(namespaceOf('pid')), await target.sh(namespaceOf('pid')))
      assert.match(await debug.sh('ps'), /sleep 33333/)
    })

    it('PID mode TARGET refuses a container of another pod and one that has ended', async () => {
      await using pod = await cri.pod()
      await using other = await cri.pod()
      const foreign = await other.run()
      const ended = await pod.run({ command: ['true'] })
      await ended.exited()
      for (const targetId of [foreign.id, ended.id, 'f'.repeat(64)]) {
        await assert.rejects(pod.create({ linux: namespaces({ pid: TARGET, targetId }) }))
      }
    })

    it('hostIPC', async () => {
      const linux = namespaces({ ipc: NODE })
      await using pod = await cri.pod({ linux })
      const container = await pod.run({ linux })
      assert.equal(await container.sh(namespaceOf('ipc')), readlinkSync('/proc/self/ns/ipc'))
    })

    it('with all three of the host’s', async () => {
      const linux = namespaces({ network: NODE, pid: NODE, ipc: NODE })
      await using pod = await cri.pod({ linux })
      const container = await pod.run({ linux })
      for (const kind of ['net', 'pid', 'ipc'])
        assert.equal(await container.sh(namespaceOf(kind)), readlinkSync(`/proc/self/ns/${kind}`), kind)
    })
  })

  describe('cgroup parent', () => {
    it('containers are below the cgroup of the request, and it is not ours to remove', async () => {
      const cgroupParent = `/kubepods/burstable/pod${process.pid}`
      await using pod = await cri.pod({ linux: { cgroupParent } })
      const container = await pod.run()
      const cgroups = await container.sh('cat /proc/self/cgroup')
      assert.match(cgroups, new RegExp(`^\\d+:memory:${cgroupParent}/.*${container.id}`, 'm'))
    })
  })
})

/** A UDP echo server in the network namespace of the process with this command line. */
async function udpEcho(command: string, port: number, logPath: string): Promise<Program> {
  const pid = await eventually(
    'the process runs',
    async () => (await run(['pgrep', '-f', `^${command}$`])).stdout.trim() || undefined,
  )
  const script = `const s = require('node:dgram').createSocket('udp4'); s.on('message', (m, from) => s.send(m, from.port, from.address)); s.bind(${port})`
  return startProgram({ argv: ['nsenter', '--target', pid, '--net', process.execPath, '-e', script], logPath })
}

/** Sends `ping` until something comes back; rejects after three seconds. */
async function askByUdp(host: string, port: number): Promise<string> {
  const socket = createSocket('udp4')
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  socket.on('message', (message) => resolve(message.toString()))
  socket.on('error', () => {})
  const again = setInterval(() => socket.send('ping', port, host), 100)
  const late = setTimeout(() => reject(new Error('no answer')), 3_000)
  try {
    return await promise
  } finally {
    clearInterval(again)
    clearTimeout(late)
    socket.close()
  }
}
