// The five sets of capabilities(7), no_new_privs, and what privileged means.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { capabilityNames } from '@coracle/host'
import { paxHeader, rawTar } from '@coracle/testkit/tar-builder'
import { failsWith } from '../cri/expect.ts'
import { needs } from './differences.ts'
import {
  type Bed,
  type ContainerInit,
  type ContainerUnderTest,
  hostLibraries,
  hostUsr,
  isolationSuite,
  statusInside,
} from './suite.ts'

type Security = NonNullable<NonNullable<ContainerInit['linux']>['securityContext']>

const defaults = 'CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE'
const user = { runAsUser: { value: 1234n } }

interface Row {
  readonly name: string
  readonly security: Security
  readonly bounding: string
  /** Of the init: root has all of the bounding set, others only ambient ones. */
  readonly effective: string
  readonly ambient?: string
}

const rows: readonly Row[] = [
  { name: 'nothing asked', security: {}, bounding: defaults, effective: defaults },
  { name: 'nothing asked, a user', security: user, bounding: defaults, effective: '' },
  {
    name: 'NET_ADMIN added, KILL dropped',
    security: { capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['KILL'] } },
    ...both('CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID SETPCAP NET_BIND_SERVICE NET_ADMIN'),
  },
  { name: 'ALL dropped', security: { capabilities: { dropCapabilities: ['ALL'] } }, ...both('') },
  {
    name: 'ALL dropped, one added',
    security: { capabilities: { dropCapabilities: ['ALL'], addCapabilities: ['CAP_NET_RAW'] } },
    ...both('NET_RAW'),
  },
  {
    name: 'ambient for a user',
    security: { ...user, capabilities: { dropCapabilities: ['ALL'], addAmbientCapabilities: ['NET_BIND_SERVICE'] } },
    ...{ bounding: 'NET_BIND_SERVICE', effective: 'NET_BIND_SERVICE', ambient: 'NET_BIND_SERVICE' },
  },
]

/** busybox as `cat` with capabilities of files, NET_BIND_SERVICE (capabilities(7), VFS_CAP_REVISION_2; effective, as for programs that know nothing of them). */
function capableFiles(): Buffer {
  const file = (directory: string, offset: number) => {
    const value = Buffer.alloc(20)
    value.writeUInt32LE(0x02000001, 0)
    value.writeUInt32LE(1 << 10, offset)
    const attributes = paxHeader({ 'SCHILY.xattr.security.capability': value })
    return [attributes, { name: `${directory}/cat`, body: readFileSync('/bin/busybox'), mode: 0o755 }] as const
  }
  return rawTar(...file('permitted', 4), ...file('inheritable', 8))
}

function both(names: string): { readonly bounding: string; readonly effective: string } {
  return { bounding: names, effective: names }
}

const inWords = (names: readonly string[] | undefined) => (names ?? []).map((name) => name.replace(/^CAP_/, '')).join(' ')
const asleep = { command: ['sleep', '10000'] }
const withSecurity = (security: Security): ContainerInit => ({
  ...asleep,
  linux: { securityContext: { namespaceOptions: { pid: 1 }, ...security } as Security },
})

isolationSuite('capabilities', (bed) => {
  for (const { name, security, bounding, effective, ambient = '' } of rows)
    test(`CVE-2022-24769: ${name}`, ambient === '' ? {} : needs(bed.handler, 'ambient'), async () => {
      await using pod = await bed.pod()
      const container = await pod.run(withSecurity(security))
      const expected = { effective, permitted: effective, bounding, inheritable: ambient, ambient }
      if (!bed.sandboxed) {
        const { capabilities: sets } = await bed.inspect(container)
        const words = Object.fromEntries(
          (['effective', 'permitted', 'bounding', 'inheritable', 'ambient'] as const).map((set) => [set, inWords(sets?.[set])]),
        )
        assert.deepEqual(words, expected)
      }
      for (const process of ['init', 'exec'] as const) {
        const inside = await statusInside(container, process)
        for (const [field, names] of [
          ['CapEff', effective],
          ['CapPrm', effective],
          ['CapBnd', bounding],
          ['CapInh', ambient],
        ] as const)
          assert.equal(inside.field(field), maskOf(names), `${field} of ${process}`)
        if (!bed.sandboxed) assert.equal(inside.field('CapAmb'), maskOf(ambient), process)
      }
    })

  test('ALL is what the kernel of a sandbox knows; what it does not know is refused', {
    skip: bed.sandboxed ? false : 'the kernel is that of this machine',
  }, async () => {
    await using pod = await bed.pod()
    const container = await pod.run(withSecurity({ capabilities: { addCapabilities: ['ALL'] } }))
    const inside = await statusInside(container, 'init')
    const bounding = BigInt(`0x${inside.field('CapBnd')}`)
    assert.notEqual(bounding & (1n << 21n), 0n, 'SYS_ADMIN')
    assert.equal(bounding >> 38n, 0n)
    const wish = withSecurity({ capabilities: { addCapabilities: ['BPF'] } })
    await failsWith('failed_precondition', pod.create(wish), /capabilities: .* cannot give CAP_BPF/)
  })

  test('a name that is none is refused', async () => {
    await using pod = await bed.pod()
    const wish = withSecurity({ capabilities: { addCapabilities: ['NONSENSE'] } })
    await failsWith('invalid_argument', pod.create(wish), /add_capabilities.*NONSENSE/)
  })

  const raising = bed.image('raising', {
    layers: [[...hostLibraries, { path: 'bin/raised-cat', body: readFileSync('/usr/bin/cat'), mode: 0o4755 }]],
  })
  test(
    'no_new_privs: told by the kernel, and a set-user-ID program raises nothing',
    needs(bed.handler, 'statusFields'),
    async () => {
      await using pod = await bed.pod()
      for (const noNewPrivs of [true, false]) {
        const container = await pod.run({
          ...withSecurity({ ...user, noNewPrivs }),
          image: { image: raising() },
          mounts: [hostUsr],
        })
        assert.equal((await bed.inspect(container)).noNewPrivileges, noNewPrivs)
        for (const process of ['init', 'exec'] as const)
          assert.equal((await statusInside(container, process)).field('NoNewPrivs'), noNewPrivs ? '1' : '0', process)
        const raised = await container.sh('/bin/raised-cat /proc/self/status')
        assert.match(raised, noNewPrivs ? /^Uid:\s+1234\s+1234/m : /^Uid:\s+1234\s+0/m)
        assert.equal(/^CapEff:\s+0+$/m.test(raised), noNewPrivs)
      }
    },
  )

  const ofFiles = bed.image('capable', { layers: [capableFiles()] })
  test('CVE-2022-24769: capabilities of files: those to inherit raise nobody, permitted ones to the bounding set at most', async () => {
    await using pod = await bed.pod()
    for (const noNewPrivs of [false, true]) {
      const container = await pod.run({ ...withSecurity({ ...user, noNewPrivs }), image: { image: ofFiles() } })
      const raised = async (name: string) => {
        // Below a shell: the runtime's own process, which becomes the first program, may still have what it gives away.
        const stdout = await container.sh(`/${name}/cat /proc/self/status; true`)
        assert.match(stdout, /^Uid:\s+1234/m)
        return /^CapPrm:\s*([0-9a-f]+)$/m.exec(stdout)?.[1]
      }
      assert.equal(await raised('inheritable'), maskOf(''))
      // gVisor 20221219 does not know capabilities of files.
      assert.equal(await raised('permitted'), maskOf(noNewPrivs || bed.sandboxed ? '' : 'NET_BIND_SERVICE'))
    }
  })

  test('a privileged container in a pod that is not is refused', async () => {
    await using pod = await bed.pod()
    await failsWith('invalid_argument', pod.create(withSecurity({ privileged: true })), /privileged pod sandbox/)
  })

  test(
    'privileged: all that this daemon has, no filter, no masks, a writable /sys, the devices',
    needs(bed.handler, 'privileged'),
    () => privilegedMeans(bed),
  )

  test('privileged is refused where it cannot be given', { skip: bed.sandboxed ? false : 'this handler gives it' }, async () => {
    await failsWith(
      'failed_precondition',
      bed.pod({ linux: { securityContext: { privileged: true } } }),
      /privileged.*kernel of their own/,
    )
  })
})

async function privilegedMeans(bed: Bed): Promise<void> {
  await using pod = await bed.pod({
    linux: { securityContext: { privileged: true, namespaceOptions: { pid: 1 } } },
  } as Parameters<Bed['pod']>[0])
  const container: ContainerUnderTest = await pod.run(withSecurity({ privileged: true, noNewPrivs: true }))
  const found = await bed.inspect(container)
  const ours = ownCapabilities()
  assert.equal(inWords(found.capabilities?.bounding), ours)
  assert.equal(inWords(found.capabilities?.effective), ours)
  assert.equal(found.noNewPrivileges, false)
  assert.equal(found.seccomp?.mode, 'disabled')
  assert.deepEqual([found.maskedPaths, found.readonlyPaths], [[], []])
  const sys = found.mounts.find(({ target }) => target === '/sys')
  assert.ok(sys?.flags.includes('rw'), 'a writable /sys')
  assert.match(found.devices?.rules.join('\n') ?? '', /^a \*:\* rwm$/m)
  const listed = await container.sh('ls /dev')
  for (const name of ['kmsg', 'null', 'loop-control']) {
    if (existsSync(`/dev/${name}`)) assert.ok(listed.split('\n').includes(name), `/dev/${name}`)
  }
}

/** What this process may give is what the daemon, its child, may give. */
function ownCapabilities(): string {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return inWords(capabilityNames(BigInt(`0x${mask}`)))
}

const numbers: Readonly<Record<string, number>> = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
}

const maskOf = (names: string): string =>
  names
    .split(' ')
    .filter(Boolean)
    .reduce((mask, name) => mask | (1n << BigInt(numbers[name] ?? 63)), 0n)
    .toString(16)
    .padStart(16, '0')
