import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { createCgroups } from './cgroups.ts'
import { pathInCgroupFile } from './layout.ts'

function fakeTree(files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'coracle-cgroup-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true }) }
}

const legacyTree = {
  'cpu,cpuacct/cgroup.procs': '',
  'memory/cgroup.procs': '',
  'memory/memory.memsw.limit_in_bytes': '9223372036854771712\n',
  'freezer/cgroup.procs': '',
  'systemd/cgroup.procs': '',
} as const

test('createCgroups() reads a v1 tree', () => {
  using tree = fakeTree({ ...legacyTree, 'notes/readme': 'no hierarchy' })
  symlinkSync('cpu,cpuacct', join(tree.root, 'cpu'))
  const cgroups = createCgroups(tree.root)
  assert.equal(cgroups.mode, 'v1')
  assert.deepEqual([...cgroups.controllers].toSorted(), ['cpu', 'cpuacct', 'freezer', 'memory'])
  assert.equal(cgroups.swapAccounting, true)
  assert.equal(cgroups.ensure('/pods/a'), true)
  assert.equal(cgroups.ensure('/pods/a'), false)
  assert.equal(cgroups.exists('/pods/a'), true)
  for (const name of ['cpu,cpuacct', 'memory', 'freezer', 'systemd']) assert.ok(existsSync(join(tree.root, name, 'pods/a')), name)
  writeFileSync(join(tree.root, 'memory/pods/a/memory.oom_control'), 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n')
  assert.equal(cgroups.oomKills('/pods/a'), 3)
  assert.equal(cgroups.oomKills('/pods/b'), 0)
})

test('createCgroups() reads a hybrid tree', () => {
  using tree = fakeTree({ ...legacyTree, 'unified/cgroup.procs': '', 'unified/cgroup.controllers': 'hugetlb\n' })
  const cgroups = createCgroups(tree.root)
  assert.equal(cgroups.mode, 'hybrid')
  assert.ok(cgroups.controllers.has('hugetlb'))
})

test('createCgroups() passes controllers on in a v2 tree and collects pids below', () => {
  using tree = fakeTree({
    'cgroup.controllers': 'cpuset cpu io memory pids\n',
    'cgroup.subtree_control': 'cpu\n',
    'system.slice/memory.swap.max': 'max\n',
    'pods/x/cgroup.procs': '12\n13\n',
    'pods/x/y/cgroup.procs': '13\n14\n0\n',
    'pods/x/memory.events': 'low 0\noom 5\noom_kill 2\noom_group_kill 1\n',
  })
  const cgroups = createCgroups(tree.root)
  assert.equal(cgroups.mode, 'v2')
  assert.equal(cgroups.swapAccounting, true)
  assert.deepEqual([...cgroups.processes('/pods')].toSorted(), [12, 13, 14])
  assert.equal(cgroups.oomKills('/pods/x'), 2)
  assert.equal(cgroups.ensure('/new/one'), true)
  // Each controller is asked for by a write of its own; a plain file keeps the last.
  assert.equal(readFileSync(join(tree.root, 'cgroup.subtree_control'), 'latin1'), '+pids')
})

test('createCgroups() refuses paths that leave the hierarchy, and removing the root', async () => {
  using tree = fakeTree({ 'cgroup.controllers': 'memory\n' })
  const cgroups = createCgroups(tree.root)
  for (const path of ['pods', '/a/../../b', '/a/./b', '/', '', '/a\0'])
    assert.throws(
      () => cgroups.ensure(path),
      (err) => codeOf(err) === 'invalid_argument',
    )
  await assert.rejects(cgroups.remove('//'), (err) => codeOf(err) === 'invalid_argument')
  await assert.rejects(cgroups.kill('/'), (err) => codeOf(err) === 'invalid_argument')
})

test('createCgroups() says so when nothing is mounted', () => {
  using tree = fakeTree({})
  assert.throws(
    () => createCgroups(tree.root).mode,
    (err) => codeOf(err) === 'failed_precondition',
  )
})

test('pathInCgroupFile() prefers the memory controller, and takes colons and removed cgroups', () => {
  assert.equal(pathInCgroupFile('5:cpu,memory:/a:b\n1:name=systemd:/s\n0::/u\n'), '/a:b')
  assert.equal(pathInCgroupFile('0::/pods/x (deleted)\n'), '/pods/x')
  assert.equal(pathInCgroupFile(''), undefined)
})

test('removeIfEmpty() takes an empty cgroup away and leaves one with cgroups below', () => {
  using tree = fakeTree(legacyTree)
  const cgroups = createCgroups(tree.root)
  mkdirSync(join(tree.root, 'memory', 'ours', 'pod'), { recursive: true })
  cgroups.removeIfEmpty('/ours')
  assert.ok(existsSync(join(tree.root, 'memory', 'ours')))
  rmSync(join(tree.root, 'memory', 'ours', 'pod'), { recursive: true })
  cgroups.removeIfEmpty('/ours')
  assert.ok(!existsSync(join(tree.root, 'memory', 'ours')))
  cgroups.removeIfEmpty('/ours')
})

test('keepLimits() gives limits back, and leaves counters alone', () => {
  using tree = fakeTree({
    'cgroup.controllers': 'cpuset cpu memory\n',
    'a/memory.max': 'max\n',
    'a/cpu.max': 'max 100000\n',
    'a/cpuset.cpus': '\n',
    'a/memory.current': '17\n',
  })
  const at = (file: string) => join(tree.root, 'a', file)
  const cgroups = createCgroups(tree.root)
  const kept = cgroups.keepLimits('/a')
  cgroups.setLimit('/a', { file: 'memory.max', value: '4096' })
  writeFileSync(at('cpu.max'), '100 1000')
  writeFileSync(at('cpuset.cpus'), '0')
  writeFileSync(at('memory.current'), '18\n')
  assert.deepEqual(kept.restore(), [])
  assert.equal(readFileSync(at('memory.max'), 'utf8'), 'max\n')
  assert.equal(readFileSync(at('cpu.max'), 'utf8'), 'max 100000\n')
  assert.equal(readFileSync(at('cpuset.cpus'), 'utf8'), '\n')
  assert.equal(readFileSync(at('memory.current'), 'utf8'), '18\n')
  assert.throws(() => cgroups.setLimit('/a', { file: 'cpu.absent', value: '1' }), /write 1 to .*cpu\.absent/)
  assert.deepEqual(cgroups.keepLimits('/absent').restore(), [])
})
