// The plugins of Debian's containernetworking-plugins, in network namespaces, bridges and subnets of this test's own.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { isObject } from '@coracle/base/parse-json'
import { createHost } from '@coracle/host'
import { belong, makeOwnDirectory, type Owned } from '@coracle/testkit/belongings'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run as runProgram } from '@coracle/testkit/program'
import type { Attachment, Cni } from '../src/cni.ts'
import { createCni } from '../src/create.ts'

const { processes } = createHost()
const never = new AbortController().signal
const tag = `${process.pid % 10_000}`
const bridge = `cni9-${tag}`
const subnet = `10.209.${process.pid % 250}`

async function run(...argv: [string, ...string[]]): Promise<string> {
  const result = await runProgram(argv)
  if (result.exitCode !== 0) throw new Error(`${argv.join(' ')}: ${result.stderr}`)
  return result.stdout
}

/** One network on the machine; leaves nothing behind and says so. */
class RealNetwork implements AsyncDisposable {
  readonly dir = makeOwnDirectory('coracle-cni-root-')
  readonly ids: string[] = []
  readonly #open: Cni[] = []
  readonly #pods: Attachment[] = []
  readonly #owned: Owned[] = [
    belong({ kind: 'link', name: bridge }),
    belong({ kind: 'network', name: `net-${tag}`, subnetPrefix: `${subnet}.` }),
  ]

  constructor(plugins: readonly unknown[], fields: Record<string, unknown> = {}) {
    mkdirSync(join(this.dir, 'net.d'))
    const list = { cniVersion: '1.0.0', name: `net-${tag}`, ...fields, plugins }
    writeFileSync(join(this.dir, 'net.d', '10-test.conflist'), JSON.stringify(list), { mode: 0o644 })
  }

  cni(): Cni {
    const options = { configDir: join(this.dir, 'net.d'), pluginDirs: ['/usr/lib/cni'], cacheDir: join(this.dir, 'cache') }
    const cni = createCni(options, { processes })
    this.#open.push(cni)
    return cni
  }

  async pod(name: string, fields: Partial<Attachment> = {}): Promise<Attachment> {
    const containerId = `${name}-${tag}`
    this.#owned.push(belong({ kind: 'netns', name: containerId }))
    await run('ip', 'netns', 'add', containerId)
    this.ids.push(containerId)
    await run('ip', 'netns', 'exec', containerId, 'ip', 'link', 'set', 'lo', 'up')
    const netns = `/run/netns/${containerId}`
    const pod = { containerId, netns, podName: name, podNamespace: 'test', podUid: `uid-${name}`, capabilities: {}, ...fields }
    this.#pods.push(pod)
    return pod
  }

  leases(): string[] {
    try {
      return readdirSync(join(this.dir, 'ipam', `net-${tag}`)).filter((name) => /^[0-9a-f]+[.:]/.test(name))
    } catch {
      return []
    }
  }

  cached(): string[] {
    return existsSync(join(this.dir, 'cache')) ? readdirSync(join(this.dir, 'cache')) : []
  }

  async traces(): Promise<string[]> {
    const rules = (await run('iptables-save')).split('\n').concat((await run('ip6tables-save')).split('\n'))
    const mine = rules.filter((rule) => rule.includes(`${subnet}.`) || this.ids.some((id) => rule.includes(id)))
    const links = await run('ip', '-o', 'link', 'show', 'type', 'veth')
    const veths = links.split('\n').filter((line) => line.includes(`master ${bridge}`))
    return [...mine, ...veths, ...this.leases(), ...this.cached()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cni of this.#open) cni.close()
    const traces = await this.traces()
    // What a failed test left must not disturb the next.
    for (const pod of this.#pods)
      await this.cni()
        .del(pod)
        .catch(() => {})
    await removeRules(
      (rule) => rule.includes(`${subnet}.`) || this.ids.some((id) => rule.includes(`"${id}"`) || rule.includes(`"${id}\\"`)),
    )
    for (const cni of this.#open) cni.close()
    for (const id of this.ids) await run('ip', 'netns', 'delete', id).catch(() => '')
    await run('ip', 'link', 'delete', bridge).catch(() => '')
    for (const thing of this.#owned) thing.release()
    rmSync(this.dir, { recursive: true, force: true })
    assert.deepEqual(traces, [])
  }

  ipam(ranges: readonly unknown[] = [[{ subnet: `${subnet}.0/24` }]]): unknown {
    return { type: 'host-local', dataDir: join(this.dir, 'ipam'), ranges, routes: [{ dst: '0.0.0.0/0' }] }
  }
}

/** Deletes the rules of the nat table that match, and the chains they jump to. Other rules are left alone: the machine is shared. */
async function removeRules(match: (rule: string) => boolean): Promise<void> {
  for (const command of ['iptables', 'ip6tables']) {
    const rules = (await run(`${command}-save`, '-t', 'nat')).split('\n').filter((rule) => rule.startsWith('-A ') && match(rule))
    const chains = new Set<string>()
    for (const rule of rules) {
      const [, chain, target] = /^-A (\S+) .*-j (CNI-\S+)?/.exec(rule) ?? []
      // iptables-save quotes as a shell does.
      await run('/bin/sh', '-c', `${command} -t nat -D ${rule.slice(3)}`)
      for (const name of [chain, target]) if (name !== undefined && /^CNI-(DN-)?[0-9a-f]+$/.test(name)) chains.add(name)
    }
    for (const chain of chains) await run(command, '-t', 'nat', '-F', chain).catch(() => '')
    for (const chain of chains) await run(command, '-t', 'nat', '-X', chain).catch(() => '')
  }
}

const bridgePlugin = (network: Pick<RealNetwork, 'ipam'>, ranges?: readonly unknown[]) => ({
  type: 'bridge',
  bridge,
  isGateway: true,
  ipMasq: true,
  hairpinMode: true,
  ipam: network.ipam(ranges),
})

/** The list is written with the directory known. */
function network(make: (net: RealNetwork) => readonly unknown[], fields: Record<string, unknown> = {}): RealNetwork {
  const net = new RealNetwork([{ type: 'bridge' }], fields)
  const list = { cniVersion: '1.0.0', name: `net-${tag}`, ...fields, plugins: make(net) }
  writeFileSync(join(net.dir, 'net.d', '10-test.conflist'), JSON.stringify(list), { mode: 0o644 })
  return net
}

async function ask(host: string, port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({ host, port })
  socket.setTimeout(3000, () => socket.destroy(new Error('no answer within 3 s')))
  let text = ''
  socket.on('data', (data) => {
    text += data
  })
  socket.on('end', () => resolve(text))
  socket.on('error', reject)
  return await promise
}

const portmap = { type: 'portmap', capabilities: { portMappings: true } }

describe('Debian’s plugins', needsRoot(), () => {
  test('bridge and portmap: address, host port, DEL', async () => {
    await using net = network((self) => [bridgePlugin(self), portmap])
    const cni = net.cni()
    assert.deepEqual(cni.status(), { ready: true })
    const hostPort = 39_000 + (process.pid % 900)
    const portMappings = [{ hostPort, containerPort: 8080, protocol: 'tcp', hostIP: '' }] as const
    const pod = await net.pod('web', { capabilities: { portMappings } })
    const { ips, interfaceName, raw } = await cni.add(pod, never)
    assert.equal(ips.length, 1)
    assert.ok(ips[0]?.startsWith(`${subnet}.`))
    assert.equal(interfaceName, 'eth0')
    const result: unknown = JSON.parse(raw)
    assert.ok(isObject(result) && result['cniVersion'] === '1.0.0')
    assert.match(
      await run('ip', 'netns', 'exec', pod.containerId, 'ip', '-4', 'addr', 'show', 'dev', 'eth0'),
      new RegExp(ips[0] ?? 'x'),
    )
    assert.deepEqual(net.leases(), [ips[0]])
    // No CHECK: this version of portmap looks for IPv6 rules of a pod that has no IPv6 address.
    const server = await processes.start({
      argv: ['/usr/sbin/ip', 'netns', 'exec', pod.containerId, 'busybox', 'nc', '-ll', '-p', '8080', '-e', '/bin/echo', 'hello'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'ignore', 'ignore'],
    })
    try {
      await new Promise((resolve) => setTimeout(resolve, 300))
      assert.equal(await ask(ips[0] ?? '', 8080), 'hello\n')
      assert.equal(await ask(externalAddress(), hostPort), 'hello\n')
    } finally {
      server.kill('SIGKILL')
      await server.exited
    }
    const rival = await net.pod('rival', { capabilities: { portMappings } })
    await assert.rejects(cni.add(rival, never), (err) => codeOf(err) === 'already_exists')
    await cni.del(rival)
    await cni.del(pod)
    assert.deepEqual(await net.traces(), [])
    await cni.del(pod)
  })

  test('DEL after a restart with the namespace gone and the configuration replaced gives everything back', async () => {
    await using net = network((self) => [bridgePlugin(self), portmap])
    const pod = await net.pod('lost', {
      capabilities: { portMappings: [{ hostPort: 39_990, containerPort: 80, protocol: 'udp', hostIP: '' }] },
    })
    await net.cni().add(pod, never)
    assert.equal(net.leases().length, 1)
    await run('ip', 'netns', 'delete', pod.containerId)
    writeFileSync(join(net.dir, 'net.d', '10-test.conflist'), '{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"ptp"}]}')
    await net.cni().del(pod)
    assert.deepEqual(net.leases(), [])
    // Without the namespace the bridge plugin (1.1) does not know which masquerading was the pod's.
    const left = await net.traces()
    assert.ok(
      left.every((rule) => rule.includes('POSTROUTING') || rule.startsWith('-A CNI-')) &&
        !left.some((rule) => rule.includes('39990')),
    )
    await removeRules((rule) => rule.includes(pod.containerId))
  })

  test('ADD that fails half-way is undone by DEL', async () => {
    await using net = network((self) => [bridgePlugin(self), { type: 'tuning', sysctl: { 'net.no.such.key': '1' } }])
    const cni = net.cni()
    const pod = await net.pod('half')
    await assert.rejects(cni.add(pod, never), /plugin tuning: ADD for pod test\/half: .*net/)
    assert.equal(net.leases().length, 1)
    await cni.del(pod)
    assert.deepEqual(await net.traces(), [])
  })

  test('loopback, bandwidth, firewall and tuning in the chain, dual stack, every version that the plugins speak', async () => {
    const ranges = [[{ subnet: `${subnet}.0/24` }], [{ subnet: `fd00:209:${tag}::/64` }]]
    for (const cniVersion of ['0.4.0', '1.0.0']) {
      await using net = network(
        (self) => [
          { type: 'loopback' },
          bridgePlugin(self, ranges),
          portmap,
          { type: 'bandwidth', capabilities: { bandwidth: true } },
          { type: 'firewall', backend: 'iptables' },
          { type: 'tuning', sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1' } },
        ],
        { cniVersion },
      )
      const cni = net.cni()
      const rate = { ingressRate: 1e7, ingressBurst: 1e7, egressRate: 1e7, egressBurst: 1e7 }
      const pod = await net.pod('many', { capabilities: { bandwidth: rate } })
      const { ips } = await cni.add(pod, never)
      assert.match(ips.join(' '), new RegExp(`^${subnet}\\.\\d+ fd00:209:`))
      await cni.check(pod, never)
      await cni.del(pod)
      assert.deepEqual(await net.traces(), [])
    }
  })

  test('ten pods at once get ten addresses and give them back', async () => {
    await using net = network((self) => [bridgePlugin(self), portmap])
    const cni = net.cni()
    const pods: Attachment[] = []
    for (let i = 0; i < 10; i++) pods.push(await net.pod(`p${i}`))
    const results = await Promise.all(pods.map((pod) => cni.add(pod, never)))
    await Promise.all(pods.map((pod) => cni.check(pod, never)))
    assert.equal(new Set(results.flatMap(({ ips }) => ips)).size, 10)
    assert.equal(net.leases().length, 10)
    // Five are unknown to the next daemon.
    await net.cni().gc(pods.slice(0, 5), never)
    assert.equal(net.leases().length, 5)
    await Promise.all(pods.map((pod) => net.cni().del(pod)))
    assert.deepEqual(await net.traces(), [])
  })

  test('a configuration of 1.1 makes these plugins not ready, with the reason', async () => {
    await using net = network((self) => [bridgePlugin(self)], { cniVersion: '1.1.0' })
    const cni = net.cni()
    const deadline = performance.now() + 5000
    while (cni.status().ready && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
    const status = cni.status()
    assert.ok(!status.ready && /cniVersion 1\.1\.0 is not supported by plugin bridge/.test(status.reason))
  })

  test('the lists we ship are accepted', async () => {
    for (const file of readdirSync(new URL('../../../deploy', import.meta.url)).filter((name) => name.endsWith('.conflist'))) {
      const text = readFileSync(new URL(`../../../deploy/${file}`, import.meta.url), 'utf8')
      const { plugins } = JSON.parse(text)
      await using net = network(() => plugins)
      assert.deepEqual(net.cni().status(), { ready: true }, file)
    }
  })
})

function externalAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return (
    all.find(({ family, internal, address }) => family === 'IPv4' && !internal && !address.startsWith('10.'))?.address ??
    '127.0.0.1'
  )
}
