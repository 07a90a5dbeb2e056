import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ContainerInit, container, host, image, input, pod, podFacts } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { hostPathsOf } from './host-paths.ts'
import { planMounts } from './mounts.ts'
import type { SourceFacts, SpecInput } from './spec-input.ts'
import { planVolumes } from './volumes.ts'

type MountInit = NonNullable<ContainerInit['mounts']>[number]

const plan = (mounts: MountInit[], init: Partial<SpecInput> = {}, propagation: SourceFacts['propagation'] = 'private') => {
  const config = container({ mounts })
  const sources = new Map<string, SourceFacts>(config.mounts.map((mount) => [mount.hostPath, { type: 'directory', propagation }]))
  return planMounts(input({ config, sources, ...init }), undefined)
}
const at = (planned: ReturnType<typeof plan>, destination: string) =>
  planned.mounts.filter((mount) => mount.destination === destination)
const data = { containerPath: '/data', hostPath: '/srv/data' }

describe('default mounts', () => {
  test('H-40 H-41: what every container has', () => {
    const made = plan([])
    assert.deepEqual(
      made.mounts.map((mount) => `${mount.destination} ${mount.type}`),
      [
        '/proc proc',
        '/dev tmpfs',
        '/sys sysfs',
        '/dev/pts devpts',
        '/dev/mqueue mqueue',
        '/dev/shm bind',
        '/etc/resolv.conf bind',
        '/etc/hostname bind',
        '/etc/hosts bind',
        '/sys/fs/cgroup cgroup',
      ],
    )
    assert.ok(at(made, '/sys')[0]?.options.includes('ro') && at(made, '/sys/fs/cgroup')[0]?.options.includes('ro'))
  })
  test('privileged containers may write /sys and the cgroup tree', () => {
    const config = container({ linux: { securityContext: { privileged: true } } })
    const made = planMounts(input({ config }), undefined)
    assert.ok(at(made, '/sys')[0]?.options.includes('rw') && at(made, '/sys/fs/cgroup')[0]?.options.includes('rw'))
  })
  test('CVE-2025-0426 H-49: the pod’s files are read-only binds unless the operator widens it', () => {
    const access = (init: Partial<SpecInput>) => at(planMounts(input(init), undefined), '/etc/hosts')[0]?.options.at(-1)
    assert.equal(access({}), 'ro')
    assert.equal(access({ writablePodFiles: true }), 'rw')
    const readonly = container({ linux: { securityContext: { readonlyRootfs: true } } })
    assert.equal(access({ writablePodFiles: true, config: readonly }), 'ro')
  })
})

describe('CRI mounts', () => {
  test('options, source and target', () => {
    assert.deepEqual(at(plan([data]), '/data'), [
      { type: 'bind', source: '/srv/data', destination: '/data', options: ['rbind', 'rprivate', 'rw'] },
    ])
    assert.deepEqual(at(plan([{ ...data, readonly: true }]), '/data')[0]?.options, ['rbind', 'rprivate', 'ro'])
  })
  test('one replaces the default at the same path', () => {
    for (const path of ['/etc/hosts', '/etc/hosts/', '/dev/shm', '/sys', '//etc//resolv.conf', '/etc/x/../hostname']) {
      const made = plan([{ containerPath: path, hostPath: '/srv/x' }])
      const found = made.mounts.filter((mount) => mount.source === '/srv/x')
      assert.equal(found.length, 1)
      assert.equal(at(made, found[0]?.destination ?? '').length, 1, path)
    }
  })
  test('one at /dev takes all defaults below it away, and no nodes are made', () => {
    const made = plan([{ containerPath: '/dev', hostPath: '/dev' }])
    assert.deepEqual(
      made.mounts.filter((mount) => mount.destination.startsWith('/dev')).map((mount) => mount.source),
      ['/dev'],
    )
    assert.equal(made.ownDev, true)
  })
  test('shallow ones come first, whatever order CRI sends', () => {
    const paths = ['/a/b/c', '/a', '/a/b', '/z', '/dev/x/y']
    const made = plan(paths.map((containerPath) => ({ containerPath, hostPath: '/srv' })))
    const order = made.mounts.map((mount) => mount.destination)
    for (const [above, below] of [
      ['/a', '/a/b'],
      ['/a/b', '/a/b/c'],
      ['/dev', '/dev/x/y'],
    ] as const)
      assert.ok(order.indexOf(above) < order.indexOf(below))
  })
  test('the same path twice is refused', () => {
    throws(() => plan([data, { ...data, containerPath: '/data/' }]), 'invalid_argument', 'config.mounts[1].container_path')
  })

  for (const path of ['/proc', '/proc/', '/proc/sys', '/a/../proc/self', '/proc/self/attr/exec', '/', '', 'data', '/a\0b', '/..'])
    test(`CVE-2019-19921 CVE-2019-16884: target ${JSON.stringify(path)} is refused`, () => {
      throws(() => plan([{ ...data, containerPath: path }]), 'invalid_argument', 'config.mounts[0].container_path')
    })
  test('files that lxcfs puts over /proc are allowed', () => {
    assert.equal(at(plan([{ ...data, containerPath: '/proc/meminfo' }]), '/proc/meminfo').length, 1)
  })
  test('CVE-2024-9407: separators in paths are text', () => {
    for (const path of ['/a,b', '/a:b', '/a\nb', '/a\\040b', '/rw,bind'])
      assert.deepEqual(at(plan([{ ...data, containerPath: path }]), path)[0]?.options, ['rbind', 'rprivate', 'rw'])
  })
  test('a source must exist and be absolute', () => {
    throws(() => plan([data], { sources: new Map() }), 'failed_precondition', 'config.mounts[0].host_path')
    for (const hostPath of ['', 'x', '/a\0'])
      throws(() => plan([{ ...data, hostPath }]), 'invalid_argument', 'config.mounts[0].host_path')
  })
})

describe('H-50: propagation', () => {
  const table = [
    [0, 'private', 'rprivate', undefined],
    [0, 'shared', 'rprivate', undefined],
    [1, 'shared', 'rslave', 'rslave'],
    [1, 'slave', 'rslave', 'rslave'],
    [2, 'shared', 'rshared', 'rshared'],
  ] as const
  for (const [propagation, source, option, rootfs] of table)
    test(`${propagation} from a ${source} mount`, () => {
      const made = plan([{ ...data, propagation }], {}, source)
      assert.ok(at(made, '/data')[0]?.options.includes(option))
      assert.equal(made.rootfsPropagation, rootfs)
    })
  for (const [propagation, source] of [
    [1, 'private'],
    [2, 'private'],
    [2, 'slave'],
  ] as const)
    test(`${propagation} from a ${source} mount is refused`, () => {
      throws(() => plan([{ ...data, propagation }], {}, source), 'failed_precondition', 'config.mounts[0].propagation')
    })
  test('CVE-2024-9407: an unknown value is refused', () => {
    throws(() => plan([{ ...data, propagation: 7 as 0 }]), 'invalid_argument', 'propagation 7')
  })
})

describe('H-51: recursive read-only', () => {
  const rro = { ...data, readonly: true, recursiveReadOnly: true }
  test('is rro where the handler and kernel can', () => {
    const made = plan([rro], { host: { ...host, recursiveReadOnly: true } })
    assert.deepEqual(at(made, '/data')[0]?.options, ['rbind', 'rprivate', 'rro'])
  })
  test('is refused where they cannot, without readonly, and with propagation', () => {
    const able = { host: { ...host, recursiveReadOnly: true } }
    throws(() => plan([rro]), 'failed_precondition', 'RROUnsupported')
    throws(() => plan([{ ...rro, readonly: false }], able), 'invalid_argument', 'needs readonly')
    throws(() => plan([{ ...rro, propagation: 1 }], able, 'shared'), 'invalid_argument', 'needs propagation PRIVATE')
  })
})

describe('mount_options', () => {
  test('known words are appended', () => {
    const made = plan([{ ...data, mountOptions: ['noexec', 'nosuid', 'nodev'] }])
    assert.deepEqual(at(made, '/data')[0]?.options, ['rbind', 'rprivate', 'rw', 'noexec', 'nosuid', 'nodev'])
  })
  for (const option of ['rw', 'remount', 'rshared', 'size=1', 'noexec,suid', '', 'bind', 'idmap'])
    test(`${JSON.stringify(option)} is refused`, () => {
      throws(() => plan([{ ...data, mountOptions: [option] }]), 'invalid_argument', 'config.mounts[0].mount_options[0]')
    })
})

describe('image volumes', () => {
  const mount = { containerPath: '/model', image: { image: 'x' } }
  const imageMounts = new Map([['/model', '/var/lib/img']])
  test('are read-only whatever was asked', () => {
    assert.deepEqual(at(plan([mount], { imageMounts }), '/model'), [
      { type: 'bind', source: '/var/lib/img', destination: '/model', options: ['rbind', 'rprivate', 'ro'] },
    ])
  })
  test('one that is not mounted is refused with kubelet’s word', () => {
    throws(() => plan([mount]), 'failed_precondition', 'ImageVolumeMountFailed')
  })
  test('have no host path to look at', () => {
    assert.deepEqual(hostPathsOf(container({ mounts: [mount, data, { ...data, containerPath: '/b' }] })), ['/srv/data'])
  })
})

describe('M-19 VOLUMEs of the image', () => {
  const volumes = (list: string[], mounts: MountInit[] = []) => planVolumes({ ...image, volumes: list }, container({ mounts }))
  test('CVE-2022-23648: paths are clean and stay below the root', () => {
    assert.deepEqual(volumes(['/../../../../canary', '/a/', 'b', '/a']).paths, ['/canary', '/a', '/b'])
  })
  test('CVE-2019-16884: none over /proc, /sys, /dev or /', () => {
    const made = volumes(['/proc', '/proc/x', '/sys/fs/cgroup', '/dev', '/', '/x/../dev/shm', '/a\0'])
    assert.deepEqual(made.paths, [])
    assert.equal(made.warnings.length, 7)
  })
  test('no more than a thousand', () => {
    const made = volumes(Array.from({ length: 10_000 }, (_, i) => `/v${i}`))
    assert.deepEqual([made.paths.length, made.warnings.length], [1000, 1])
  })
  test('CRI’s mount at the path wins', () => {
    assert.deepEqual(volumes(['/data', '/e'], [data]).paths, ['/e'])
  })
  test('are mounted from the directory made for them', () => {
    const made = plan([], { image: { ...image, volumes: ['/v/'] }, volumes: new Map([['/v/', '/run/v0']]) })
    assert.equal(at(made, '/v')[0]?.source, '/run/v0')
  })
})

describe('user namespaces', () => {
  const mapping = {
    uids: [{ containerID: 0, hostID: 65536, size: 65536 }],
    gids: [{ containerID: 0, hostID: 65536, size: 65536 }],
  }
  test('sysfs is the host’s and mqueue left out when the namespaces are not the pod’s', () => {
    const made = planMounts(input({ pod: podFacts({ netnsPath: undefined, ipcnsPath: undefined }) }), mapping)
    assert.equal(at(made, '/sys')[0]?.type, 'bind')
    assert.equal(at(made, '/dev/mqueue').length, 0)
    const owned = planMounts(input(), mapping)
    assert.deepEqual([at(owned, '/sys')[0]?.type, at(owned, '/dev/mqueue')[0]?.type], ['sysfs', 'mqueue'])
  })
  test('pod files have their owner already, volumes are idmapped, CRI mounts as CRI says, images as the pod', () => {
    const ids = [{ hostId: 65536, containerId: 0, length: 65536 }]
    const able = { host: { ...host, userNamespaces: true } }
    assert.equal(at(planMounts(input(), mapping), '/etc/hosts')[0]?.uidMappings, undefined)
    const withVolume = input({
      image: { ...image, volumes: ['/vol'] },
      config: container({ linux: { securityContext: { readonlyRootfs: true } } }),
      volumes: new Map([['/vol', '/made/0']]),
    })
    assert.deepEqual(at(planMounts(withVolume, mapping), '/vol')[0]?.uidMappings, mapping.uids)
    const made = plan([{ ...data, uidMappings: ids, gidMappings: ids }], able)
    assert.deepEqual(at(made, '/data')[0]?.uidMappings, mapping.uids)
    throws(() => plan([{ ...data, uidMappings: ids, gidMappings: ids }]), 'failed_precondition', 'user namespaces')
    throws(() => plan([{ ...data, uidMappings: ids }], able), 'invalid_argument', 'config.mounts[0]')
  })
  test('an image is mounted for the pod’s ids, whatever the mount says; other ids are refused', () => {
    const ids = [{ hostId: 65536, containerId: 0, length: 65536 }]
    const facts = podFacts({
      config: pod({ linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 0, uids: ids, gids: ids } } } } }),
    })
    const able = { host: { ...host, userNamespaces: true }, imageMounts: new Map([['/img', '/mnt/img']]), pod: facts }
    const mount = { containerPath: '/img', image: { image: 'x' }, readonly: true }
    const made = plan([{ ...mount, uidMappings: ids, gidMappings: ids }], able)
    assert.equal(at(made, '/img')[0]?.uidMappings, undefined)
    const other = [{ hostId: 1, containerId: 0, length: 65536 }]
    throws(() => plan([{ ...mount, uidMappings: other, gidMappings: other }], able), 'invalid_argument', "the pod's own mapping")
  })
  test('CVE-2021-43784: at most 340 mappings, none empty or past the last id', () => {
    const able = { host: { ...host, userNamespaces: true } }
    const many = Array.from({ length: 341 }, (_, i) => ({ hostId: i, containerId: i, length: 1 }))
    throws(() => plan([{ ...data, uidMappings: many, gidMappings: many }], able), 'invalid_argument', '340')
    for (const bad of [
      { hostId: 0, containerId: 0, length: 0 },
      { hostId: 2 ** 32 - 2, containerId: 0, length: 2 },
    ])
      throws(() => plan([{ ...data, uidMappings: [bad], gidMappings: [bad] }], able), 'invalid_argument', 'uidMappings[0]')
  })
})
