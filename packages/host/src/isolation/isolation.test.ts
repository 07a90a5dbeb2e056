import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { parseMountInfo } from '../mountinfo.ts'
import { createIsolation } from './isolation.ts'
import { masksAmong } from './masks.ts'
import { parseIdMap, parseRlimits, parseStatus } from './status.ts'

const status = `Name:\tsleep
Uid:\t1000\t1000\t1000\t1000
Gid:\t1001\t1001\t0\t1001
Groups:\t1001 2000 
NSpid:\t77\t1
CapInh:\t0000000000000000
CapPrm:\t0000000000000400
CapEff:\t0000000000000400
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000400
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1
`

test('status', () => {
  const parsed = parseStatus(status)
  assert.deepEqual(parsed.uids, { real: 1000, effective: 1000, saved: 1000, fileSystem: 1000 })
  assert.equal(parsed.gids.saved, 0)
  assert.deepEqual(parsed.groups, [1001, 2000])
  assert.deepEqual(parsed.capabilities.effective, ['CAP_NET_BIND_SERVICE'])
  assert.deepEqual(parsed.capabilities.ambient, ['CAP_NET_BIND_SERVICE'])
  assert.deepEqual(parsed.capabilities.inheritable, [])
  assert.equal(parsed.capabilities.bounding.length, 41)
  assert.equal(parsed.noNewPrivileges, true)
  assert.deepEqual(parsed.seccomp, { mode: 'filter', filters: 1 })
})

test('status of a kernel without seccomp, and of a process without groups', () => {
  const parsed = parseStatus('Uid:\t0\t0\t0\t0\nGroups:\t\nCapEff:\t0\n')
  assert.deepEqual(parsed.groups, [])
  assert.equal(parsed.seccomp.mode, 'unknown')
})

test('id maps and limits', () => {
  assert.deepEqual(parseIdMap('         0     100000      65536\n'), [{ inside: 0, outside: 100000, count: 65536 }])
  assert.deepEqual(
    parseRlimits(
      'Limit                     Soft Limit           Hard Limit           Units     \n' +
        'Max open files            1024                 1048576              files     \n' +
        'Max cpu time              unlimited            unlimited            seconds   \n' +
        'Max new things            1                    2                    \n',
    ),
    [
      { name: 'RLIMIT_NOFILE', soft: 1024n, hard: 1048576n },
      { name: 'RLIMIT_CPU', soft: undefined, hard: undefined },
      { name: 'Max new things', soft: 1n, hard: 2n },
    ],
  )
})

test('masks: the last mount at a target counts', () => {
  const mounts = parseMountInfo(`10 1 0:9 / / rw - overlay overlay rw
11 10 0:40 / /proc rw,nosuid - proc proc rw
12 11 0:6 /null /proc/kcore rw,nosuid - devtmpfs udev rw
13 11 0:40 /sys /proc/sys ro,relatime - proc proc rw
14 11 0:50 / /proc/scsi ro,relatime - tmpfs tmpfs ro,size=0k
15 11 0:40 /bus /proc/bus ro - proc proc rw
16 15 0:40 /bus /proc/bus rw - proc proc rw
17 10 0:51 / /sys ro - sysfs sysfs ro
18 17 0:52 / /sys/fs/cgroup ro - tmpfs cgroup ro
19 17 0:53 / /sys/firmware ro - tmpfs tmpfs ro
20 10 0:54 / /data ro - tmpfs tmpfs ro`)
  assert.deepEqual(masksAmong(mounts), {
    maskedPaths: ['/proc/kcore', '/proc/scsi', '/sys/firmware'],
    readonlyPaths: ['/proc/sys'],
  })
})

const scratch = mkdtempSync(join(tmpdir(), 'isolation-'))
after(() => rmSync(scratch, { recursive: true }))

function files(root: string, contents: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
}

test('a process on a cgroup v2 machine with AppArmor', () => {
  const [procRoot, cgroupRoot] = [join(scratch, 'proc'), join(scratch, 'cgroup')]
  files(procRoot, {
    '77/status': status,
    '77/cgroup': '0::/kubepods.slice/coracle-1.scope\n',
    '77/mountinfo': '10 1 0:9 / / ro - overlay overlay rw\n',
    '77/limits': 'Max processes             5                    6                    processes \n',
    '77/oom_score_adj': '-997\n',
    '77/attr/current': 'coracle-default (enforce)\n',
    '77/uid_map': '0 0 4294967295\n',
    '77/gid_map': '0 0 4294967295\n',
    '77/fdinfo/0': 'pos:\t0\nflags:\t0100000\nmnt_id:\t15\n',
    '77/fdinfo/1': 'pos:\t0\nflags:\t01\nmnt_id:\t14\n',
    '77/fdinfo/7': 'pos:\t0\nflags:\t02\nmnt_id:\t10\n',
    '77/fdinfo/9': 'pos:\t0\nflags:\t0200000\nmnt_id:\t3\n',
  })
  mkdirSync(join(procRoot, '77/fd'))
  mkdirSync(join(procRoot, '77/ns'))
  for (const [fd, target] of [
    [0, '/dev/null'],
    [1, 'pipe:[33]'],
    [7, '/data'],
    [9, '/var/lib'],
  ] as const)
    symlinkSync(target, join(procRoot, '77/fd', String(fd)))
  symlinkSync('net:[4026531840]', join(procRoot, '77/ns/net'))
  files(cgroupRoot, {
    'cgroup.controllers': 'cpu memory pids\n',
    'kubepods.slice/coracle-1.scope/memory.max': '67108864\n',
    'kubepods.slice/coracle-1.scope/memory.current': '4096\n',
    'kubepods.slice/coracle-1.scope/pids.max': 'max\n',
    'kubepods.slice/coracle-1.scope/cpu.max': '50000 100000\n',
  })
  const isolation = createIsolation({ procRoot, cgroupRoot, alive: () => true })
  const found = isolation.read({ pid: 77, startTime: 1n })
  assert.deepEqual(found?.cgroups, [
    {
      ...{ version: 2, controllers: ['cpu', 'memory', 'pids'], path: '/kubepods.slice/coracle-1.scope' },
      limits: { 'cpu.max': '50000 100000', 'memory.max': '67108864', 'pids.max': 'max' },
    },
  ])
  assert.equal(found.label, 'coracle-default (enforce)')
  assert.equal(found.oomScoreAdj, -997)
  assert.deepEqual(found.namespaces, { net: 4026531840 })
  assert.deepEqual(
    found.descriptors.map(({ fd, readable, writable, outside }) => [fd, readable, writable, outside]),
    [
      [0, true, false, true],
      [1, false, true, false],
      [7, true, true, false],
      [9, true, false, true],
    ],
  )
  assert.equal(isolation.read({ pid: 78, startTime: 1n }), undefined)
  const gone = createIsolation({ procRoot, cgroupRoot, alive: () => false })
  assert.equal(gone.read({ pid: 77, startTime: 1n }), undefined)
})
