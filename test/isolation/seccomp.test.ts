// Seccomp: what was asked for is what the kernel says and what calls meet, in the init and in exec'ed processes.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { failsWith } from '../cri/expect.ts'
import { needs } from './differences.ts'
import { EAFNOSUPPORT, ENOSYS, EPERM, probeCalls, probeInit, probing } from './probe.ts'
import { type Bed, type ContainerInit, hostLibraries, isolationSuite } from './suite.ts'

type Security = NonNullable<NonNullable<ContainerInit['linux']>['securityContext']>

const profile = { runtimeDefault: { profileType: 0 }, unconfined: { profileType: 1 } } as const
const never = [
  'socket_alg',
  'socket_vsock',
  'socket_alg_high_bit',
  'io_uring_setup',
  'add_key',
  'keyctl',
  'request_key',
  'userfaultfd',
]
const byCapability = ['unshare_user', 'unshare_net', 'setns', 'mount', 'clone_newuser', 'bpf']

interface Row {
  readonly name: string
  readonly security: Security
  readonly mode: 'filter' | 'disabled'
  readonly denied: readonly string[]
  readonly allowed: readonly string[]
}

const rows: readonly Row[] = [
  {
    name: 'CVE-2022-0847 CVE-2026-31431 CVE-2022-0492: RuntimeDefault',
    security: { seccomp: profile.runtimeDefault },
    ...{ mode: 'filter', denied: [...never, ...byCapability], allowed: ['getpid', 'socket_inet'] },
  },
  {
    name: 'RuntimeDefault with SYS_ADMIN',
    security: { seccomp: profile.runtimeDefault, capabilities: { addCapabilities: ['SYS_ADMIN'] } },
    ...{ mode: 'filter', denied: never, allowed: ['getpid', 'unshare_net'] },
  },
  { name: 'Unconfined', security: { seccomp: profile.unconfined }, mode: 'disabled', denied: [], allowed: ['getpid', 'keyctl'] },
  {
    name: 'the deprecated field: runtime/default',
    security: { seccompProfilePath: 'runtime/default' },
    ...{ mode: 'filter', denied: never, allowed: ['getpid'] },
  },
  {
    name: 'the deprecated field: unconfined',
    security: { seccompProfilePath: 'unconfined' },
    ...{ mode: 'disabled', denied: [], allowed: ['getpid', 'keyctl'] },
  },
  { name: 'nothing asked, which is none', security: {}, mode: 'disabled', denied: [], allowed: ['getpid', 'keyctl'] },
]

const refusals = [EPERM, ENOSYS, EAFNOSUPPORT]

isolationSuite('seccomp', (bed) => {
  const image = bed.image('seccomp', { layers: [hostLibraries] })
  const x64 = { skip: process.arch === 'x64' ? false : 'call numbers are those of x86-64' } as const

  for (const { name, security, mode, denied, allowed } of rows)
    test(name, x64, async () => {
      await using pod = await bed.pod()
      const container = await pod.run({ ...probing(image()), linux: { securityContext: confined(security) } })
      if (!bed.sandboxed) {
        const { seccomp } = await bed.inspect(container)
        assert.deepEqual([seccomp?.mode, seccomp?.filters], [mode, mode === 'filter' ? 1 : 0])
      }
      const answers = [await probeInit(pod, { ...probing(image()), linux: { securityContext: confined(security) } })]
      if (bed.handler !== 'runsc') answers.push(await probeCalls(container))
      for (const got of answers) {
        for (const call of denied) assert.ok(refusals.includes(got[call] ?? ''), `${call}: ${got[call]}`)
        // gVisor lacks calls whatever the profile says.
        for (const call of allowed.filter((call) => !bed.sandboxed || call === 'getpid' || call === 'socket_inet'))
          assert.ok(!refusals.includes(got[call] ?? ''), `${call}: ${got[call]}`)
      }
    })

  for (const [name, security] of [
    ['Localhost', (path: string): Security => ({ seccomp: { profileType: 2, localhostRef: path } })],
    ['the deprecated field: localhost/', (path: string): Security => ({ seccompProfilePath: `localhost/${path}` })],
  ] as const)
    test(`${name}: the operator's own profile`, async () => {
      await using pod = await bed.pod()
      const container = await pod.run({
        command: ['sleep', '10000'],
        linux: { securityContext: confined(security(ownProfile(bed))) },
      })
      if (!bed.sandboxed) assert.equal((await bed.inspect(container)).seccomp?.mode, 'filter')
      const inInit = await pod.shell('mkdir /tmp/x 2>&1; echo $?', {
        linux: { securityContext: confined(security(ownProfile(bed))) },
      })
      // EXDEV, as no kernel answers to a mkdir by itself; gVisor has one answer for all.
      const refused = bed.sandboxed ? /not permitted\n1/ : /[Cc]ross-device.*\n1/
      assert.match(inInit.output, refused)
      if (bed.handler !== 'runsc') assert.match(await container.sh('mkdir /tmp/x 2>&1; echo $?'), refused)
    })

  test('exec under a profile', needs(bed.handler, 'seccompExec'), async () => {
    await using pod = await bed.pod()
    const security = confined({ seccomp: { profileType: 2, localhostRef: ownProfile(bed) } })
    const container = await pod.run({ command: ['sleep', '10000'], linux: { securityContext: security } })
    assert.notEqual((await container.exec(['mkdir', '/tmp/x'])).exitCode, 0)
  })

  test('CVE-2023-2431: a Localhost profile that is not there or none at all is refused', async () => {
    await using pod = await bed.pod()
    const directory = bed.cri.node.world.directory
    const broken = join(directory, 'broken.json')
    writeFileSync(broken, '{"defaultAction":')
    for (const localhostRef of ['', join(directory, 'absent.json'), broken, '../x.json', 'relative.json', directory]) {
      const seccomp = { profileType: 2, localhostRef } as const
      await failsWith('invalid_argument', pod.create({ linux: { securityContext: confined({ seccomp }) } }), /seccomp/)
    }
    await failsWith(
      'invalid_argument',
      pod.create({ linux: { securityContext: confined({ seccomp: { profileType: 7 as 2 } }) } }),
    )
  })

  test('a filter of the init holds in exec', needs(bed.handler, 'statusFields'), async () => {
    await using pod = await bed.pod()
    const container = await pod.run({
      command: ['sleep', '10000'],
      linux: { securityContext: confined({ seccomp: profile.runtimeDefault }) },
    })
    for (const path of ['/proc/1/status', '/proc/self/status'])
      assert.match(await container.sh(`exec grep -E '^Seccomp' ${path}`), /^Seccomp:\s+2\nSeccomp_filters:\s+1$/)
  })
})

const confined = (security: Security): Security => ({ namespaceOptions: { pid: 1 }, ...security }) as Security

function ownProfile(bed: Bed): string {
  const path = join(bed.cri.node.world.directory, 'own-profile.json')
  const EXDEV = 18
  writeFileSync(
    path,
    JSON.stringify({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: EXDEV }],
    }),
  )
  return path
}
