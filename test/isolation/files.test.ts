// Masked and read-only paths, the proc mount type, a read-only root, mount options, sysctls and the hostname.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { failsWith } from '../cri/expect.ts'
import { needs } from './differences.ts'
import { type Bed, type ContainerInit, isolationSuite, mountAt } from './suite.ts'

type Security = NonNullable<NonNullable<ContainerInit['linux']>['securityContext']>

const asleep = (security: Security = {}, rest: ContainerInit = {}): ContainerInit => ({
  command: ['sleep', '10000'],
  ...rest,
  linux: { securityContext: { namespaceOptions: { pid: 1 }, ...security } as Security },
})

const defaultMasks = [
  ...['asound', 'acpi', 'interrupts', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'].map(
    (name) => `/proc/${name}`,
  ),
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const defaultReadonly = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
const here = (paths: readonly string[]) => paths.filter((path) => existsSync(path)).toSorted()

isolationSuite('files', (bed) => {
  test('H-36 H-37 CVE-2017-16539: the default masks hold', needs(bed.handler, 'masks'), async () => {
    await using pod = await bed.pod()
    const container = await pod.run(asleep())
    const found = await bed.inspect(container)
    assert.deepEqual(
      found.maskedPaths.filter((path) => !path.includes('thermal_throttle')),
      here(defaultMasks),
    )
    assert.deepEqual(found.readonlyPaths, here(defaultReadonly))
    for (const path of here(defaultMasks)) {
      const said = statSync(path).isDirectory() ? `ls -A ${path}` : `cat ${path}`
      assert.equal(await container.sh(`${said} 2>/dev/null || true`), '', path)
    }
    // `h` only prints help, were it let through.
    for (const path of here(['/proc/sysrq-trigger', '/proc/sys/kernel/domainname']))
      assert.match((await container.exec(['sh', '-c', `echo h > ${path}`])).stderr, /Read-only/, path)
  })

  test('masked and read-only paths as given', needs(bed.handler, 'masks'), async () => {
    await using pod = await bed.pod()
    const container = await pod.run(
      asleep({ maskedPaths: ['/proc/cpuinfo', '/proc/tty', '/nowhere'], readonlyPaths: ['/proc/sys/net'] }),
    )
    const found = await bed.inspect(container)
    assert.deepEqual([found.maskedPaths, found.readonlyPaths], [['/proc/cpuinfo', '/proc/tty'], ['/proc/sys/net']])
    assert.equal(await container.sh('cat /proc/cpuinfo; ls -A /proc/tty'), '')
    assert.notEqual(await container.sh('cat /proc/timer_list | head -1; cat /proc/version'), '')
  })

  test('H-41: /sys and its cgroups are read-only, /proc/sys too', async () => {
    await using pod = await bed.pod()
    const container = await pod.run(asleep())
    if (!bed.sandboxed) {
      const found = await bed.inspect(container)
      assert.ok(mountAt(found, '/sys')?.flags.includes('ro'))
      for (const mount of found.mounts.filter(({ type }) => type.startsWith('cgroup')))
        assert.ok(mount.flags.includes('ro'), mount.target)
    }
    const { exitCode } = await container.exec([
      'sh',
      '-c',
      'echo 1 > /sys/kernel/uevent_helper || echo 1 > /sys/kernel/profiling',
    ])
    assert.notEqual(exitCode, 0)
  })

  test('a read-only root with its writable places', async () => {
    await using pod = await bed.pod()
    const volume = join(bed.cri.node.world.directory, `volume-${bed.handler}`)
    mkdirSync(volume, { recursive: true })
    const container = await pod.run(asleep({ readonlyRootfs: true }, { mounts: [{ containerPath: '/data', hostPath: volume }] }))
    if (!bed.sandboxed) assert.ok(mountAt(await bed.inspect(container), '/')?.flags.includes('ro'))
    for (const path of ['/x', '/etc/x', '/bin/x', '/etc/hosts', '/etc/resolv.conf'])
      assert.match((await container.exec(['sh', '-c', `echo x > ${path}`])).stderr, /Read-only|Permission/, path)
    await container.sh('echo x > /data/x && echo x > /dev/shm/x && echo x > /dev/null')
  })

  test('mount_options: noexec, nodev, nosuid', needs(bed.handler, 'kernelView'), () => mountOptions(bed))

  test('H-40 CVE-2024-3056: /dev/shm is the pod’s, of 64 MiB, without programs', async () => {
    await using pod = await bed.pod()
    const [one, other] = [await pod.run(asleep()), await pod.run(asleep())]
    await one.sh('echo told > /dev/shm/note')
    assert.equal(await other.sh('cat /dev/shm/note'), 'told')
    const { exitCode } = await one.exec([
      'sh',
      '-c',
      'dd if=/dev/zero of=/dev/shm/fill bs=1M count=65 2>&1; rm /dev/shm/fill; false',
    ])
    assert.equal(exitCode, 1)
    if (bed.sandboxed) return
    const flags = mountAt(await bed.inspect(one), '/dev/shm')?.flags ?? []
    for (const flag of ['nosuid', 'nodev', 'noexec']) assert.ok(flags.includes(flag), flag)
  })

  test('sysctls of the network', needs(bed.handler, 'netSysctls'), async () => {
    await using pod = await bed.pod({
      linux: { sysctls: { 'net.ipv4.tcp_syncookies': '0', 'net.ipv4.ip_local_port_range': '2000 3000' } },
    })
    const container = await pod.run(asleep())
    assert.equal(await container.sh('cat /proc/sys/net/ipv4/tcp_syncookies'), '0')
    assert.match(await container.sh('cat /proc/sys/net/ipv4/ip_local_port_range'), /^2000\s+3000$/)
    assert.notEqual(await container.sh('cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '1024')
  })

  test('sysctls of an interface, which the network plugins make', needs(bed.handler, 'netSysctls'), async () => {
    await using pod = await bed.pod({
      linux: { sysctls: { 'net.ipv4.conf.eth0.rp_filter': '2', 'net.ipv4.conf.all.log_martians': '1' } },
    })
    const container = await pod.run(asleep())
    assert.equal(
      await container.sh('cat /proc/sys/net/ipv4/conf/eth0/rp_filter /proc/sys/net/ipv4/conf/all/log_martians'),
      '2\n1',
    )
  })

  test('a sysctl that the kernel does not have, and a value that it does not take', async () => {
    await failsWith('failed_precondition', bed.pod({ linux: { sysctls: { 'net.ipv4.absent': '1' } } }), /net\.ipv4\.absent/)
    await failsWith('failed_precondition', bed.pod({ linux: { sysctls: { 'net.ipv4.conf.eth7.rp_filter': '1' } } }), /eth7/)
    await failsWith('invalid_argument', bed.pod({ linux: { sysctls: { 'net.core.somaxconn': 'many' } } }), /"many"/)
  })

  test('sysctls of IPC', needs(bed.handler, 'ipcSysctls'), async () => {
    await using pod = await bed.pod({ linux: { sysctls: { 'kernel.shm_rmid_forced': '1', 'kernel.msgmax': '4096' } } })
    const container = await pod.run(asleep())
    assert.equal(await container.sh('cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax'), '1\n4096')
  })

  test('CVE-2022-0811: a sysctl of the node is refused', async () => {
    for (const sysctls of [
      { 'kernel.core_pattern': 'x' },
      { 'kernel.shm_rmid_forced': '1+kernel.core_pattern=|/evil' },
      { 'net/ipv4/x': '1' },
    ])
      await failsWith(
        ['invalid_argument', 'failed_precondition'],
        bed.pod({ linux: { sysctls: { ...sysctls } as Record<string, string> } }),
        /sysctls/,
      )
  })

  test('the hostname is the pod’s', async () => {
    await using pod = await bed.pod({ hostname: 'own-name' })
    const container = await pod.run(asleep())
    assert.equal(await container.sh('hostname; cat /etc/hostname'), 'own-name\nown-name')
    assert.notEqual((await container.exec(['hostname', 'other'])).exitCode, 0)
  })
})

async function mountOptions(bed: Bed): Promise<void> {
  await using pod = await bed.pod()
  const volume = join(bed.cri.node.world.directory, `options-${bed.handler}`)
  mkdirSync(volume, { recursive: true })
  writeFileSync(join(volume, 'program'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
  const plain = { hostPath: volume, readonly: false } as const
  const container = await pod.run(
    asleep(
      {},
      {
        mounts: [
          { ...plain, containerPath: '/free' },
          { ...plain, containerPath: '/bound', mountOptions: ['noexec', 'nodev', 'nosuid'] },
        ],
      },
    ),
  )
  const found = await bed.inspect(container)
  for (const flag of ['noexec', 'nodev', 'nosuid']) assert.ok(mountAt(found, '/bound')?.flags.includes(flag), flag)
  assert.equal(await container.sh('/free/program'), 'ran')
  assert.match((await container.exec(['sh', '-c', '/bound/program'])).stderr, /[Pp]ermission denied/)
  await failsWith('failed_precondition', container.exec(['/bound/program']), /[Pp]ermission denied/)
}
