import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch } from './scratch.ts'

const { mounts, paths } = createHost()
const propagationOf = async (path: string) => {
  const [place] = await paths.hold([{ path, type: 'directory', major: 0, minor: 0 }], 5000, AbortSignal.timeout(5000))
  assert.ok(place)
  using _place = place
  return mounts.propagationOf(place)
}
const at = (path: string) => mounts.list().filter((mount) => mount.target === path)

test('mount() makes a read-only bind that keeps what its source forbids', needsRoot(), async () => {
  await using dir = scratch()
  const [a, b] = [`${dir.path}/a`, `${dir.path}/b`]
  for (const path of [a, b]) mkdirSync(path)
  mounts.mount({ type: 'tmpfs', source: 'shm', destination: a, options: ['nosuid', 'nodev', 'size=64k'] })
  mounts.mount({ type: 'bind', source: a, destination: b, options: ['rbind', 'ro', 'rprivate'] })
  const options = at(b)[0]?.options ?? []
  for (const word of ['ro', 'nosuid', 'nodev']) assert.ok(options.includes(word), word)
  assert.throws(() => writeFileSync(`${b}/x`, ''), { code: 'EROFS' })
  writeFileSync(`${a}/x`, '')
  mounts.mount({ type: 'bind', source: a, destination: b, options: ['remount', 'bind', 'rw', 'nosuid'] })
  writeFileSync(`${b}/x`, '')
  assert.equal(mounts.isMountPoint(b), true)
  assert.equal(mounts.isMountPoint(`${b}/x`), false)
  assert.equal(mounts.isMountPoint(`${dir.path}/none`), false)
  await mounts.unmountBelow(dir.path)
})

test('mount() changes propagation without mounting again', needsRoot(), async () => {
  await using dir = scratch()
  const path = `${dir.path}/m`
  mkdirSync(path)
  mounts.mount({ type: 'tmpfs', source: 't', destination: path, options: [] })
  for (const [word, expected] of [
    ['shared', 'shared'],
    ['rslave', 'private'],
    ['private', 'private'],
  ] as const) {
    mounts.mount({ type: 'none', source: 'none', destination: path, options: [word] })
    assert.equal(await propagationOf(path), expected)
    assert.equal(at(path).length, 1)
  }
  const peer = `${dir.path}/peer`
  mkdirSync(peer)
  mounts.mount({ type: 'none', source: 'none', destination: path, options: ['shared'] })
  mounts.mount({ type: 'bind', source: path, destination: peer, options: ['bind', 'slave'] })
  assert.equal(await propagationOf(peer), 'slave')
  await mounts.unmountBelow(dir.path)
})

test('mount() names what failed, and refuses data that would be cut', needsRoot(), async () => {
  await using dir = scratch()
  const destination = `${dir.path}/none`
  assert.throws(
    () => mounts.mount({ type: 'tmpfs', source: 't', destination, options: [] }),
    (err) => codeOf(err) === 'internal' && explain(err).includes(destination) && explain(err).includes('ENOENT'),
  )
  assert.throws(
    () => mounts.mount({ type: 'tmpfs', source: 't', destination: dir.path, options: [`mode=${'0'.repeat(4096)}`] }),
    (err) => codeOf(err) === 'invalid_argument',
  )
})

test('mount() stacks more layers than fit into a page', needsRoot(), async () => {
  await using dir = scratch()
  // 127 layers with paths as long as those of a real store.
  const layers = Array.from({ length: 127 }, (_, i) => `${dir.path}/${String(i).padStart(3, '0')}-${'f'.repeat(64)}`)
  for (const [i, layer] of layers.entries()) {
    mkdirSync(layer)
    writeFileSync(`${layer}/common`, String(i))
    writeFileSync(`${layer}/own-${i}`, '')
  }
  for (const name of ['upper', 'work', 'root']) mkdirSync(`${dir.path}/${name}`)
  const options = [`lowerdir=${layers.join(':')}`, `upperdir=${dir.path}/upper`, `workdir=${dir.path}/work`]
  mounts.mount({ type: 'overlay', source: 'overlay', destination: `${dir.path}/root`, options })
  assert.equal(readFileSync(`${dir.path}/root/common`, 'latin1'), '0')
  readFileSync(`${dir.path}/root/own-126`)
  await mounts.unmount(`${dir.path}/root`)
})

test('mount() stacks more layers than have room as fds', needsRoot(), async () => {
  await using dir = scratch()
  const layers = Array.from({ length: 300 }, (_, i) => `${dir.path}/${'f'.repeat(240)}-${i}`)
  for (const [i, layer] of layers.entries()) {
    mkdirSync(layer)
    writeFileSync(`${layer}/common`, String(i))
    writeFileSync(`${layer}/own-${i}`, '')
  }
  const upper = `${dir.path}/up:per`
  for (const path of [upper, `${dir.path}/work`, `${dir.path}/root`]) mkdirSync(path)
  const before = readdirSync('/proc/self/fd').length
  const options = [
    `lowerdir=${layers.join(':')}`,
    `upperdir=${upper.replace(':', '\\:')}`,
    `workdir=${dir.path}/work`,
    'index=off',
    'volatile',
    'nosuid',
  ]
  mounts.mount({ type: 'overlay', source: 'overlay', destination: `${dir.path}/root`, options })
  assert.equal(readFileSync(`${dir.path}/root/common`, 'latin1'), '0')
  readFileSync(`${dir.path}/root/own-299`)
  writeFileSync(`${dir.path}/root/new`, 'x')
  readFileSync(`${upper}/new`)
  assert.match(
    readFileSync('/proc/self/mountinfo', 'latin1'),
    new RegExp(`${dir.path}/root rw,nosuid,relatime[^\n]* - overlay overlay`),
  )
  await mounts.unmount(`${dir.path}/root`)
  assert.equal(readdirSync('/proc/self/fd').length, before)
  assert.throws(
    () =>
      mounts.mount({ type: 'overlay', source: 'overlay', destination: `${dir.path}/root`, options: [...options, 'nonsense=1'] }),
    /option nonsense/,
  )
  assert.equal(readdirSync('/proc/self/fd').length, before)
})

test('unmount() waits for a busy mount, clears a stack and takes what is absent', needsRoot(), async () => {
  await using dir = scratch()
  const path = `${dir.path}/m`
  mkdirSync(path)
  for (let i = 0; i < 3; i++) mounts.mount({ type: 'tmpfs', source: `t${i}`, destination: path, options: [] })
  const fd = openSync(path, 'r')
  setTimeout(() => closeSync(fd), 100)
  const before = performance.now()
  await mounts.unmount(path)
  assert.ok(performance.now() - before >= 90)
  assert.equal(at(path).length, 0)
  await mounts.unmount(path)
  await mounts.unmount(`${dir.path}/none`)
})

test('unmount() detaches what stays busy', { ...needsRoot(), timeout: 30_000 }, async () => {
  await using dir = scratch()
  mounts.mount({ type: 'tmpfs', source: 't', destination: dir.path, options: [] })
  const fd = openSync(dir.path, 'r')
  await mounts.unmount(dir.path)
  assert.equal(at(dir.path).length, 0)
  closeSync(fd)
})

test('what goes from below a clone stays below its source, a shared tree', needsRoot(), async () => {
  await using dir = scratch()
  const [source, clone] = [`${dir.path}/source`, `${dir.path}/ours/clone`]
  mkdirSync(source)
  mounts.mount({ type: 'tmpfs', source: 't', destination: source, options: ['shared'] })
  mkdirSync(`${source}/below`)
  mounts.mount({ type: 'tmpfs', source: 't', destination: `${source}/below`, options: [] })
  writeFileSync(`${source}/below/mark`, '')
  const ways = [() => mounts.detach(clone), () => mounts.unmountBelow(`${dir.path}/ours`)]
  for (const way of ways) {
    await mounts.mountClone({ source, destination: clone, recursive: true, timeoutMs: 5000 }, AbortSignal.timeout(5000))
    assert.deepEqual(readdirSync(`${clone}/below`), ['mark'])
    await way()
    assert.deepEqual(readdirSync(clone), [])
    assert.deepEqual(readdirSync(`${source}/below`), ['mark'])
  }
  await mounts.unmountBelow(dir.path)
})

test('unmountBelow() takes everything, the deepest first', needsRoot(), async () => {
  await using dir = scratch()
  const path = `${dir.path}/a`
  mkdirSync(path)
  for (const below of ['', '/b', '/b/c', '/d']) {
    mkdirSync(path + below, { recursive: true })
    mounts.mount({ type: 'tmpfs', source: 't', destination: path + below, options: [] })
  }
  await mounts.unmountBelow(path)
  await mounts.unmountBelow(path)
  assert.equal(mounts.isMountPoint(path), false)
})

test('syncFileSystem() returns for disks and memory', needsRoot(), async () => {
  await using dir = scratch()
  await mounts.syncFileSystem(dir.path)
  await mounts.syncFileSystem('/dev/shm')
  await assert.rejects(mounts.syncFileSystem(`${dir.path}/none`))
})
