import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { attachment, eventually, FakeNetwork, never, result } from '../testing/fake-network.ts'
import { CniError } from './errors.ts'

const coded = (code: string, pattern: RegExp) => (err: unknown) => {
  assert.equal(codeOf(err), code, String(err))
  assert.match((err as Error).message, pattern)
  return true
}

function isRunning(pid: string): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test('ADD runs the chain in order with the result so far, DEL in reverse with the last result', async () => {
  using net = new FakeNetwork().plugin('one', 'two')
  net.list([{ type: 'one', bridge: 'b0', capabilities: { dns: true } }, { type: 'two' }])
  const second = { ...result('1.0.0'), routes: [{ dst: '0.0.0.0/0' }] }
  net.answer('two', second)
  const cni = net.cni()
  const pod = attachment('pod1', { capabilities: { dns: { servers: ['1.1.1.1'], searches: [], options: [] } } })
  const added = await cni.add(pod, never())
  assert.deepEqual(added.ips, ['10.1.2.3'])
  assert.equal(added.interfaceName, 'eth0')
  assert.deepEqual(JSON.parse(added.raw), second)
  await cni.del(pod)
  assert.deepEqual(net.sequence(), ['ADD one', 'ADD two', 'DEL two', 'DEL one'])
  const [addOne, addTwo, delTwo, delOne] = net.calls()
  assert.deepEqual(addOne?.config, {
    type: 'one',
    bridge: 'b0',
    name: 'net',
    cniVersion: '1.0.0',
    runtimeConfig: { dns: { servers: ['1.1.1.1'], searches: [], options: [] } },
  })
  assert.deepEqual(addTwo?.config.prevResult, result('1.0.0'))
  assert.equal(addTwo?.config.runtimeConfig, undefined)
  assert.deepEqual(delTwo?.config.prevResult, second)
  assert.deepEqual(delOne?.config.prevResult, second)
  assert.deepEqual([addOne?.containerId, addOne?.netns, addOne?.ifname], ['pod1', '/proc/self/ns/net', 'eth0'])
  assert.equal(
    addOne?.args,
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=name-pod1;K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=uid-pod1',
  )
  assert.equal(addOne?.path, net.pluginDir)
  assert.equal(delOne?.netns, '/proc/self/ns/net')
  assert.deepEqual(readdirSync(net.cacheDir), [])
})

test('ADD through a list with a missing plugin runs none of it, and leaves nothing that DEL would fail on for ever', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }, { type: 'two' }])
  const cni = net.cni()
  const pod = attachment('pod1')
  await assert.rejects(
    cni.add(pod, never()),
    coded('failed_precondition', /^attach pod default\/name-pod1: network net: cni plugin two is missing/),
  )
  await cni.del(pod)
  assert.deepEqual(net.sequence(), [])
  assert.deepEqual(readdirSync(net.cacheDir), [])
  net.plugin('two')
  await cni.add(pod, never())
  await cni.del(pod)
  assert.deepEqual(net.sequence(), ['ADD one', 'ADD two', 'DEL two', 'DEL one'])
})

test('DEL again and DEL of what was never attached succeed; after a restart an unknown pod gets one DEL', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  const cni = net.cni()
  await cni.add(attachment(), never())
  await cni.del(attachment())
  await cni.del(attachment())
  assert.deepEqual(net.sequence(), ['ADD one', 'DEL one'])
  await net.cni().del(attachment('stranger'))
  assert.deepEqual(net.sequence().slice(2), ['DEL one'])
})

test('DEL uses the configuration of ADD after a restart and with the file replaced; a namespace that is gone is left empty', async () => {
  using net = new FakeNetwork().plugin('one', 'other')
  net.list([{ type: 'one', flavour: 'old' }])
  await net.cni().add(attachment('pod1', { netns: '/nowhere/net' }), never())
  net.list([{ type: 'other' }])
  await net.cni().del(attachment('pod1', { netns: '/nowhere/net' }))
  const last = net.calls().at(-1)
  assert.deepEqual([last?.command, last?.plugin, last?.netns, last?.config['flavour']], ['DEL', 'one', '', 'old'])
  assert.deepEqual(last?.config.prevResult, result('1.0.0'))
})

test('a failed ADD keeps its intent and partial result for DEL, also for the next process', async () => {
  using net = new FakeNetwork().plugin('one', 'two')
  net.list([{ type: 'one' }, { type: 'two' }])
  net.mode('two', 'ADD', `echo '{"cniVersion":"1.0.0","code":11,"msg":"no tables","details":"busy"}'; exit 1`)
  const cni = net.cni()
  await assert.rejects(cni.add(attachment(), never()), (err) => {
    assert.ok(err instanceof CniError)
    assert.equal(err.plugin, 'two')
    assert.deepEqual(err.pluginError, { code: 11, msg: 'no tables', details: 'busy' })
    return coded('unavailable', /^cni plugin two: ADD for pod default\/name-pod1: no tables: busy$/)(err)
  })
  net.mode('one', 'DEL', 'echo broken >&2; exit 3')
  await assert.rejects(
    cni.del(attachment()),
    coded('internal', /plugin one: DEL for pod default\/name-pod1: exited with 3: broken/),
  )
  net.mode('one', 'DEL', undefined)
  await net.cni().del(attachment())
  assert.deepEqual(net.calls().at(-1)?.config.prevResult, result('1.0.0'))
  assert.deepEqual(readdirSync(net.cacheDir), [])
})

test('ADD after an unfinished ADD undoes that first', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  net.mode('one', 'ADD', 'exit 1')
  await assert.rejects(net.cni().add(attachment(), never()))
  net.mode('one', 'ADD', undefined)
  await net.cni().add(attachment(), never())
  assert.deepEqual(net.sequence(), ['ADD one', 'DEL one', 'ADD one'])
})

test('a plugin that hangs is killed with its children at the deadline, and DEL still runs', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  net.mode('one', 'ADD', `sleep 60 & echo $! > "$base/child"; wait`)
  const cni = net.cni({ addTimeoutMs: 300, delTimeoutMs: 300 })
  const started = performance.now()
  await assert.rejects(
    cni.add(attachment(), never()),
    coded('deadline_exceeded', /plugin one: ADD .* did not finish in time, killed/),
  )
  assert.ok(performance.now() - started < 3000)
  const child = readFileSync(join(net.dir, 'child'), 'utf8').trim()
  await eventually(() => !isRunning(child), 'the plugin’s child is gone')
  net.mode('one', 'DEL', 'sleep 60')
  await assert.rejects(cni.del(attachment()), coded('deadline_exceeded', /plugin one: DEL/))
  net.mode('one', 'DEL', undefined)
  await cni.del(attachment())
})

test('a caller that gives up ends the plugin', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  net.mode('one', 'ADD', 'sleep 60')
  const caller = new AbortController()
  const adding = net.cni().add(attachment(), caller.signal)
  setTimeout(() => caller.abort(), 100)
  await assert.rejects(adding, coded('canceled', /given up/))
})

const nonsense = {
  garbage: ['echo "<html>no</html>"', /not valid JSON: <html>no<\/html>/],
  'half a result': [`printf '{"cniVersion":"1.0.0","ips":[{"addr'`, /not valid JSON/],
  'no output': ['true', /printed no result/],
  'a list': ['echo "[]"', /no JSON object/],
  flood: ['head -c 20000000 /dev/zero', /printed more than 1 MiB/],
  'flood and failure': ['head -c 20000000 /dev/zero; exit 1', /exited with 1 after printing more than 1 MiB/],
  signal: ['kill -9 $$', /was ended by SIGKILL without saying why/],
  'no address': [`echo '{"cniVersion":"1.0.0","ips":[]}'`, /no address for the pod/],
  'a bad address': [`echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2"}]}'`, /address .*10\.1\.2/],
  'an unknown version': [`echo '{"cniVersion":"7.0.0","ips":[]}'`, /cniVersion "7\.0\.0"/],
  'deep nesting': [`head -c 100000 /dev/zero | tr '\\0' '['`, /nested deeper/],
  'control characters': [`printf 'a\\033[31mb\\nc' >&2; exit 1`, /exited with 1: a \[31mb c$/],
} as const

for (const [name, [shell, pattern]] of Object.entries(nonsense)) {
  test(`ADD that answers with ${name} is a short clear error`, async () => {
    using net = new FakeNetwork().plugin('one')
    net.list([{ type: 'one' }])
    net.mode('one', 'ADD', shell)
    await assert.rejects(net.cni().add(attachment(), never()), (err: Error) => {
      const whole = err.cause instanceof Error ? `${err.message}: ${err.cause.message}` : err.message
      assert.match(whole, pattern)
      assert.match(whole, /default\/name-pod1/)
      assert.ok(whole.length < 1000)
      return true
    })
  })
}

test('a host port that another pod has is refused, naming the pod, until that pod is gone', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one', capabilities: { portMappings: true } }])
  const mapping = { hostPort: 38_080, containerPort: 80, protocol: 'tcp', hostIP: '' } as const
  const first = attachment('pod1', { capabilities: { portMappings: [mapping] } })
  const cni = net.cni()
  await cni.add(first, never())
  assert.deepEqual(net.calls()[0]?.config.runtimeConfig, {
    portMappings: [{ hostPort: 38_080, containerPort: 80, protocol: 'tcp' }],
  })
  const second = attachment('pod2', { capabilities: { portMappings: [{ ...mapping, hostIP: '127.0.0.1' }] } })
  const taken = coded('already_exists', /attach pod default\/name-pod2/)
  await assert.rejects(cni.add(second, never()), taken)
  await assert.rejects(net.cni().add(second, never()), (err: Error) => {
    assert.match((err.cause as Error).message, /host port 127\.0\.0\.1:38080\/tcp is taken by pod default\/name-pod1/)
    return taken(err)
  })
  await cni.add(attachment('pod3', { capabilities: { portMappings: [{ ...mapping, protocol: 'udp' }] } }), never())
  await cni.del(second)
  await cni.del(first)
  await cni.add(second, never())
  assert.deepEqual(net.sequence(), ['ADD one', 'ADD one', 'DEL one', 'ADD one'])
})

test('a host port that a process of the host listens on is refused', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one', capabilities: { portMappings: true } }])
  const server = createServer().listen(0, '0.0.0.0')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  try {
    const mapping = { hostPort: port, containerPort: 80, protocol: 'tcp', hostIP: '' } as const
    await assert.rejects(
      net.cni().add(attachment('pod1', { capabilities: { portMappings: [mapping] } }), never()),
      (err: Error) => {
        assert.match((err.cause as Error).message, /is taken by a process of this host that listens on 0\.0\.0\.0/)
        return coded('already_exists', /attach pod/)(err)
      },
    )
  } finally {
    server.close()
  }
  assert.deepEqual(net.sequence(), [])
})

test('arguments of a pod cannot add others', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  const cni = net.cni()
  await assert.rejects(
    cni.add(attachment('pod1', { podName: 'a;K8S_POD_UID=x' }), never()),
    coded('invalid_argument', /pod name/),
  )
  await assert.rejects(cni.add(attachment('../x'), never()), coded('invalid_argument', /container id/))
  // The pod's removal must not fail on what was never attached.
  await cni.del(attachment('pod1', { podName: 'a;K8S_POD_UID=x' }))
  assert.deepEqual(net.sequence(), [])
})

test('CHECK gets the result of ADD, and is left out where the list or the version says so', async () => {
  using net = new FakeNetwork().plugin('one')
  for (const [fields, expected] of [
    [{}, ['ADD one', 'CHECK one', 'DEL one']],
    [{ disableCheck: true }, ['ADD one', 'DEL one']],
    [{ cniVersion: '0.3.1' }, ['ADD one', 'DEL one']],
  ] as const) {
    writeFileSync(join(net.dir, 'calls'), '')
    net.list([{ type: 'one' }], fields)
    const cni = net.cni()
    await cni.add(attachment(), never())
    await cni.check(attachment(), never())
    await cni.del(attachment())
    assert.deepEqual(net.sequence(), expected)
    await assert.rejects(cni.check(attachment(), never()), coded('failed_precondition', /not attached/))
  }
})

test('GC releases attachments that are no longer valid, and tells 1.1 plugins which are', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }], { cniVersion: '1.1.0' })
  const before = net.cni()
  for (const id of ['stay', 'gone']) await before.add(attachment(id), never())
  const after = net.cni()
  await after.add(attachment('new'), never())
  await after.gc([attachment('stay')], never())
  const calls = net.calls().slice(3)
  assert.deepEqual(
    calls.map(({ command, containerId }) => `${command} ${containerId}`),
    ['DEL gone', 'GC '],
  )
  assert.deepEqual(calls[1]?.config['cni.dev/valid-attachments'], [
    { containerID: 'stay', ifname: 'eth0' },
    { containerID: 'new', ifname: 'eth0' },
  ])
  net.list([{ type: 'one' }], { cniVersion: '1.1.0', disableGC: true })
  await net.cni().gc([attachment('stay'), attachment('new')], never())
  assert.equal(net.calls().length, 5)
})

test('dual stack: the first address of each family comes first, in the order of the result', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  const ips = ['10.1.0.2/16', '10.1.0.3/16', 'fd00::2/64'].map((address) => ({ address, interface: 0 }))
  net.answer('one', result('1.0.0', ips))
  assert.deepEqual((await net.cni().add(attachment(), never())).ips, ['10.1.0.2', 'fd00::2', '10.1.0.3'])
})
