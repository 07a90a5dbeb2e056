// Seccomp, AppArmor, masks, privilege, devices, annotations: what stands between a container and its node.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ContainerInit, container, host, input, pod, podFacts, type SecurityInit, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { defaultMaskedPaths, defaultReadonlyPaths } from './masks.ts'
import { localhostSeccomp, parseSeccomp } from './seccomp-file.ts'
import { allowedSyscalls, deniedSyscalls, syscallsByCapability } from './seccomp-syscalls.ts'
import { podLevel, selinuxLabels } from './selinux.ts'
import { createSpec } from './spec.ts'
import type { SpecInput } from './spec-input.ts'

const privilegedPod = podFacts({ config: pod({ linux: { securityContext: { privileged: true } } }) })
const make = (security: SecurityInit, init: Partial<SpecInput> = {}) =>
  createSpec(input({ config: secured(security), ...init })).spec
const [runtimeDefault, unconfined, localhost] = [0, 1, 2] as const

describe('H-33: seccomp', () => {
  const names = (security: SecurityInit, action = 'SCMP_ACT_ALLOW') =>
    new Set(
      make(security)
        .linux.seccomp?.syscalls?.filter((rule) => rule.action === action && rule.args === undefined)
        .flatMap((rule) => rule.names),
    )
  test('no call is in two lists', () => {
    const all = [...allowedSyscalls, ...deniedSyscalls]
    assert.equal(new Set(all).size, all.length)
    const gated = new Set(syscallsByCapability.flatMap((entry) => entry.names))
    assert.deepEqual(
      all.filter((name) => gated.has(name)),
      [],
    )
  })
  test('CVE-2022-0847 CVE-2022-0492: keyrings, io_uring, namespaces and mounts are not allowed', () => {
    const allowed = names({})
    for (const name of 'keyctl add_key io_uring_setup unshare setns mount clone clone3 userfaultfd bpf socket personality ptrace_x'.split(
      ' ',
    ))
      assert.ok(!allowed.has(name), name)
  })
  test('capabilities open the calls that are theirs', () => {
    for (const { anyOf, names: opened } of syscallsByCapability) {
      const [capability = ''] = anyOf
      const allowed = names({ capabilities: { addCapabilities: [capability] } })
      const denied = names({ capabilities: { addCapabilities: [capability] } }, 'SCMP_ACT_ERRNO')
      for (const name of opened) {
        assert.ok(allowed.has(name), `${capability} ${name}`)
        assert.ok(!denied.has(name), `${capability} ${name}`)
      }
    }
  })
  test('unset is RuntimeDefault, or what the operator says', () => {
    assert.ok(make({}).linux.seccomp)
    assert.equal(make({}, { unsetSeccomp: 'unconfined' }).linux.seccomp, undefined)
    assert.ok(make({ seccomp: { profileType: runtimeDefault } }, { unsetSeccomp: 'unconfined' }).linux.seccomp)
  })
  test('Unconfined, privileged and the deprecated text', () => {
    assert.equal(make({ seccomp: { profileType: unconfined } }).linux.seccomp, undefined)
    assert.equal(make({ privileged: true }, { pod: privilegedPod }).linux.seccomp, undefined)
    assert.equal(make({ seccompProfilePath: 'unconfined' }).linux.seccomp, undefined)
    assert.ok(make({ seccompProfilePath: 'runtime/default' }).linux.seccomp)
    assert.ok(make({ seccompProfilePath: 'unconfined', seccomp: { profileType: runtimeDefault } }).linux.seccomp)
  })
  test('CVE-2023-2431 I9: absence of a profile is an error, never unconfined', () => {
    for (const security of [
      { seccomp: { profileType: localhost, localhostRef: '' } },
      { seccomp: { profileType: localhost, localhostRef: '../x.json' } },
      { seccomp: { profileType: localhost, localhostRef: '/a/../x.json' } },
      { seccomp: { profileType: localhost, localhostRef: '/missing.json' } },
      { seccomp: { profileType: 9 as 0 } },
      { seccomp: { profileType: runtimeDefault, localhostRef: '/x' } },
      { seccompProfilePath: 'localhost/' },
      { seccompProfilePath: 'x' },
    ])
      throws(() => make(security), 'invalid_argument', 'config.linux.security_context.seccomp')
    throws(() => make({}, { host: { ...host, seccomp: false } }), 'failed_precondition', 'seccomp')
  })

  test('crun gets the default profile ready made, beside the rules; no other profile', () => {
    const annotation = (security: SecurityInit, init: Partial<SpecInput> = {}) =>
      make(security, { compiledSeccomp: true, ...init }).annotations['run.oci.seccomp_bpf_data']
    assert.equal(annotation({}) !== undefined, process.arch === 'x64')
    assert.ok(make({}, { compiledSeccomp: true }).linux.seccomp)
    assert.equal(make({}).annotations['run.oci.seccomp_bpf_data'], undefined)
    assert.equal(annotation({ seccomp: { profileType: unconfined } }), undefined)
    assert.equal(annotation({ privileged: true }, { pod: privilegedPod }), undefined)
    assert.notEqual(annotation({ capabilities: { addCapabilities: ['SYS_ADMIN'] } }), annotation({}))
  })

  const profile = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['chmod'], action: 'SCMP_ACT_ERRNO' }] }
  const read = (text: string | undefined) =>
    localhostSeccomp(secured({ seccomp: { profileType: localhost, localhostRef: '/p.json' } }), () =>
      text === undefined ? undefined : Buffer.from(text),
    )
  test('Localhost profiles are read and used', () => {
    const localhostSeccomp = read(JSON.stringify(profile))
    assert.equal(localhostSeccomp?.syscalls?.[0]?.action, 'SCMP_ACT_ERRNO')
    const spec = make({ seccomp: { profileType: localhost, localhostRef: '/p.json' } }, { localhostSeccomp })
    assert.equal(spec.linux.seccomp, localhostSeccomp)
    assert.deepEqual(localhostSeccomp?.architectures, [])
  })
  test('bad profile files are refused', () => {
    throws(() => read(undefined), 'invalid_argument', 'does not exist')
    for (const text of [
      '',
      '{',
      '[]',
      '{}',
      '{"defaultAction":"SCMP_ACT_NOTIFY"}',
      '{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}',
    ])
      throws(() => read(text), 'invalid_argument', '/p.json')
    for (const rule of [
      {},
      { names: [] },
      { names: ['a'] },
      { names: ['a'], action: 'x' },
      { names: ['a'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] },
    ])
      throws(() => parseSeccomp('p', JSON.stringify({ ...profile, syscalls: [rule] })), 'invalid_argument', 'p: syscalls[0]')
  })
})

describe('H-34: AppArmor', () => {
  const enabled = {
    host: { ...host, apparmor: true },
    apparmor: { defaultProfile: 'coracle', loaded: new Set(['coracle', 'mine']) },
  }
  const name = (security: SecurityInit, init: Partial<SpecInput> = enabled) => make(security, init).process.apparmorProfile
  test('with AppArmor in the kernel', () => {
    assert.equal(name({}), 'coracle')
    assert.equal(name({ apparmor: { profileType: runtimeDefault } }), 'coracle')
    assert.equal(name({ apparmor: { profileType: unconfined } }), undefined)
    assert.equal(name({ apparmor: { profileType: localhost, localhostRef: 'mine' } }), 'mine')
    assert.equal(name({ apparmorProfile: 'localhost/mine' }), 'mine')
    assert.equal(name({ privileged: true }, { ...enabled, pod: privilegedPod }), undefined)
    throws(() => name({ apparmor: { profileType: localhost, localhostRef: 'other' } }), 'failed_precondition', 'not loaded')
    throws(() => name({ apparmor: { profileType: localhost, localhostRef: '' } }), 'invalid_argument', 'localhost_ref')
    throws(() => name({ apparmor: { profileType: localhost, localhostRef: 'a b' } }), 'invalid_argument', 'blanks')
  })
  test('without: RuntimeDefault is accepted, a Localhost profile refused', () => {
    assert.equal(name({ apparmor: { profileType: runtimeDefault } }, {}), undefined)
    throws(
      () => name({ apparmor: { profileType: localhost, localhostRef: 'mine' } }, {}),
      'failed_precondition',
      'has no AppArmor',
    )
  })
})

describe('H-36 H-37 CVE-2017-16539: masked and read-only paths', () => {
  const paths = (security: SecurityInit, init: Partial<SpecInput> = {}) => {
    const { maskedPaths, readonlyPaths } = make(security, init).linux
    return [maskedPaths, readonlyPaths]
  }
  test('the defaults for an empty request, exactly the request else, none for privileged', () => {
    assert.deepEqual(paths({}), [defaultMaskedPaths, defaultReadonlyPaths])
    assert.deepEqual(paths({ maskedPaths: ['/proc/x'], readonlyPaths: ['/proc/y/'] }), [['/proc/x'], ['/proc/y']])
    assert.deepEqual(paths({ privileged: true }, { pod: privilegedPod }), [[], []])
  })
  test('thermal throttling of this node’s processors is masked by default', () => {
    const path = '/sys/devices/system/cpu/cpu0/thermal_throttle'
    const [masked] = paths({}, { host: { ...host, thermalThrottlePaths: [path] } })
    assert.equal(masked?.at(-1), path)
  })
  test('an empty list unmasks only within a user namespace', () => {
    const ids = [{ hostId: 65536, containerId: 0, length: 65536 }]
    const config = pod({ linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 0, uids: ids, gids: ids } } } } })
    assert.deepEqual(paths({}, { pod: podFacts({ config }), host: { ...host, userNamespaces: true } }), [[], []])
  })
  test('relative paths are refused', () => {
    throws(() => paths({ maskedPaths: ['proc'] }), 'invalid_argument', 'masked_paths[0]')
  })
})

describe('H-35: SELinux', () => {
  const policy = {
    process: { user: 'system_u', role: 'system_r', type: 'container_t' },
    file: { user: 'system_u', role: 'object_r', type: 'container_file_t' },
    privilegedType: 'spc_t',
  }
  const labels = (options: { user?: string; role?: string; type?: string; level?: string } | undefined, privileged = false) =>
    selinuxLabels({
      policy,
      privileged,
      podLevel: 's0:c1,c2',
      options: secured(options === undefined ? {} : { selinuxOptions: options }).linux?.securityContext?.selinuxOptions,
    })
  test('the pod’s level, the policy’s types, what is asked for', () => {
    assert.deepEqual(labels(undefined), {
      processLabel: 'system_u:system_r:container_t:s0:c1,c2',
      mountLabel: 'system_u:object_r:container_file_t:s0:c1,c2',
    })
    assert.equal(labels(undefined, true).processLabel, 'system_u:system_r:spc_t:s0:c1,c2')
    const asked = labels({ user: 'u', role: 'r', type: 't', level: 's0:c5.c9' })
    assert.deepEqual(asked, { processLabel: 'u:r:t:s0:c5.c9', mountLabel: 'system_u:object_r:container_file_t:s0:c5.c9' })
  })
  test('words that would change the label are refused', () => {
    throws(() => labels({ type: 'a:b' }), 'invalid_argument', 'selinux_options.type')
    throws(() => labels({ level: 's0:x' }), 'invalid_argument', 'selinux_options.level')
  })
  test('a level for each of many pods', () => {
    assert.deepEqual([0, 1, 1022, 1023, 523_775, 523_776].map(podLevel), [
      's0:c0,c1',
      's0:c0,c2',
      's0:c0,c1023',
      's0:c1,c2',
      's0:c1022,c1023',
      's0:c0,c1',
    ])
  })
  test('labels reach the spec; the node’s own trees are not relabelled', () => {
    const selinux = { processLabel: 'p', mountLabel: 'm' }
    const spec = make({}, { selinux })
    assert.deepEqual([spec.process.selinuxLabel, spec.linux.mountLabel], ['p', 'm'])
    for (const hostPath of ['/', '/etc', '/usr/', '/home']) {
      const config = container({ mounts: [{ containerPath: '/a', hostPath, selinuxRelabel: true }] })
      const sources = new Map([[hostPath, { type: 'directory', propagation: 'private' } as const]])
      throws(
        () => createSpec(input({ config, sources, host: { ...host, selinux: true } })),
        'invalid_argument',
        'selinux_relabel',
      )
      createSpec(input({ config, sources }))
    }
  })
})

describe('privileged', () => {
  test('needs a privileged sandbox', () => {
    throws(() => make({ privileged: true }), 'invalid_argument', 'privileged')
  })
  test('H-32: no_new_privs as asked, never for privileged', () => {
    assert.equal(make({ noNewPrivs: true }).process.noNewPrivileges, true)
    assert.equal(make({}).process.noNewPrivileges, false)
    assert.equal(make({ privileged: true, noNewPrivs: true }, { pod: privilegedPod }).process.noNewPrivileges, false)
  })
})

describe('H-39: devices', () => {
  const device = (path: string, minor: number) => ({ path, type: 'c', major: 10, minor }) as const
  const devices = new Map(
    ['/dev/fuse', '/dev/snd/a', '/dev/snd/b', '/dev/null', '/dev/pts/0'].map((path, i) => [path, device(path, i)]),
  )
  const plan = (list: NonNullable<ContainerInit['devices']>) => {
    const { linux } = createSpec(input({ config: container({ devices: list }), devices })).spec
    return { nodes: linux.devices?.map((node) => node.path), rules: linux.resources.devices }
  }
  test('all denied, then what is asked for', () => {
    assert.deepEqual(plan([]), { nodes: [], rules: [{ allow: false, access: 'rwm' }] })
    assert.deepEqual(plan([{ hostPath: '/dev/fuse', containerPath: '/dev/f', permissions: 'rw' }]), {
      nodes: ['/dev/f'],
      rules: [
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 10, minor: 0, access: 'rw' },
      ],
    })
  })
  test('a directory stands for the devices below it', () => {
    assert.deepEqual(plan([{ hostPath: '/dev/snd', containerPath: '/dev/s' }]).nodes, ['/dev/s/a', '/dev/s/b'])
  })
  test('privileged: those of the host that the runtime does not make itself', () => {
    const { linux } = make({ privileged: true }, { pod: privilegedPod, devices })
    assert.deepEqual(
      linux.devices?.map((node) => node.path),
      ['/dev/fuse', '/dev/snd/a', '/dev/snd/b'],
    )
    assert.deepEqual(linux.resources.devices, [{ allow: true, access: 'rwm' }])
  })
  test('refused: paths outside /dev, bad permissions, devices that are not there', () => {
    for (const hostPath of ['/etc/passwd', '/dev', 'dev/x', '/dev/../etc', ''])
      throws(() => plan([{ hostPath }]), 'invalid_argument', 'config.devices[0].host_path')
    throws(
      () => plan([{ hostPath: '/dev/fuse', containerPath: '/etc/x' }]),
      'invalid_argument',
      'config.devices[0].container_path',
    )
    for (const permissions of ['x', 'rr', 'rwmr', 'RW'])
      throws(() => plan([{ hostPath: '/dev/fuse', permissions }]), 'invalid_argument', 'config.devices[0].permissions')
    throws(() => plan([{ hostPath: '/dev/kvm' }]), 'failed_precondition', 'config.devices[0].host_path')
  })
})

describe('annotations', () => {
  const made = (
    annotations: Record<string, string>,
    allowedAnnotations: string[] = [],
    podAnnotations: Record<string, string> = {},
  ) =>
    createSpec(
      input({
        config: container({ annotations }),
        pod: podFacts({ config: pod({ annotations: podAnnotations }) }),
        allowedAnnotations,
      }),
    ).spec.annotations
  test('H-60 H-61 CVE-2026-44210 CVE-2023-6476: nothing passes that is not on the list', () => {
    const hostile = {
      'io.katacontainers.config.hypervisor.virtio_fs_extra_args': 'x',
      'io.kubernetes.cri-o.UnifiedCgroup.main': 'memory.max=max',
      'run.oci.hooks.stdout': '/x',
      'coracle.container.pod': 'forged',
    }
    const names = Object.keys(made(hostile, [], hostile))
    assert.deepEqual(names, ['coracle.container.name', 'coracle.container.pod', 'coracle.container.image'])
    assert.equal(made(hostile, ['*'])['coracle.container.pod'], 'p'.repeat(64))
  })
  test('CVE-2024-3154: org.systemd.property never', () => {
    const hostile = { 'org.systemd.property.SuccessAction': "'poweroff-force'", 'Org.systemd.property.X': '1' }
    const names = Object.keys(made(hostile, ['*', 'org.systemd.property.SuccessAction', 'Org*'], hostile))
    assert.ok(!names.some((name) => name.toLowerCase().startsWith('org.systemd')))
  })
  test('a filter of the author’s own never', () => {
    const got = made({ 'run.oci.seccomp_bpf_data': 'AAAA', 'run.oci.seccomp.receiver': '/x' }, ['*', 'run.oci.*'])
    assert.ok(!Object.keys(got).some((name) => name.startsWith('run.oci')))
  })
  test('exact names and prefixes pass; the container’s wins over the pod’s; case counts', () => {
    const got = made({ 'a.b/c': '1', 'x.y': '2', 'X.Y': '3' }, ['a.*', 'x.y'], { 'a.b/c': '0', 'a.d': '4' })
    assert.deepEqual([got['a.b/c'], got['x.y'], got['X.Y'], got['a.d']], ['1', '2', undefined, '4'])
  })
  test('CVE-2026-53488 H-62: labels of the image do not reach the spec', () => {
    const labels = new Map([
      ['io.containerd.x', '1'],
      ['coracle.container.name', '2'],
      ['org.systemd.property.A', '3'],
    ])
    const { spec } = createSpec(input({ image: { ...input().image, labels } }))
    assert.equal(Object.keys(spec.annotations).length, 3)
    assert.equal(spec.annotations['coracle.container.name'], 'main')
  })
  test('a name such as __proto__ is only a name', () => {
    const got = made(JSON.parse('{"__proto__":"x"}'), ['*'])
    assert.equal(Object.getPrototypeOf(got), Object.prototype)
    assert.ok(!('polluted' in {}))
  })
})
