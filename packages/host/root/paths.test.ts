import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { codeOf } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch } from './scratch.ts'

const { paths, mounts, processes } = createHost()
const { signal } = new AbortController()
const shell = (script: string) => processes.run({ argv: ['/bin/bash', '-c', script], timeoutMs: 30_000, signal })

function canary(directory: string): string {
  const path = `${directory}/canary`
  mkdirSync(`${path}/below`, { recursive: true })
  writeFileSync(`${path}/secret`, 'secret')
  writeFileSync(`${path}/below/more`, 'more')
  return path
}

function assertAlive(path: string): void {
  assert.deepEqual(readdirSync(path, { recursive: true }).toSorted(), ['below', 'below/more', 'secret'])
  assert.equal(readFileSync(`${path}/secret`, 'latin1'), 'secret')
}

/** Swaps `path` between a directory and a link to `target` until it is ended. */
function racer(path: string, target: string): Worker {
  const code = `
    const fs = require('node:fs'); const { path, target } = require('node:worker_threads').workerData
    const quietly = (work) => { try { work() } catch {} }
    for (;;) {
      quietly(() => fs.mkdirSync(path)); quietly(() => fs.writeFileSync(path + '/file', '')); quietly(() => fs.renameSync(path, path + '.old'))
      quietly(() => fs.symlinkSync(target, path)); quietly(() => fs.unlinkSync(path)); quietly(() => fs.rmSync(path + '.old', { recursive: true }))
    }`
  return new Worker(code, { eval: true, workerData: { path, target } })
}

test(
  'CVE-2024-23652 CVE-2024-23653 removeTree() removes odd names, deep trees and links, but not what they mean',
  needsRoot(),
  async () => {
    await using dir = scratch()
    const alive = canary(dir.path)
    const tree = `${dir.path}/tree`
    const script = `mkdir ${tree}; cd ${tree}; touch $'\\xff\\xfe' $'a\\nb' -- -rf; ln -s ${alive} link; mkdir -m 000 closed; touch closed/file
    python3 -c "
import os
for i in range(1200): os.mkdir('d'); os.chdir('d')
open('leaf', 'w'); os.mkfifo('fifo')"`
    assert.equal((await shell(script)).exitCode, 0)
    await paths.removeTree(tree)
    assert.ok(!existsSync(tree))
    await paths.removeTree(tree)
    assertAlive(alive)
    symlinkSync(alive, tree)
    await paths.removeTree(tree)
    assert.ok(!existsSync(tree))
    assertAlive(alive)
  },
)

test('CVE-2024-23652 CVE-2024-23653 removeTree() stops at a mount, of a directory or a file', needsRoot(), async () => {
  await using dir = scratch()
  const alive = canary(dir.path)
  for (const [source, place] of [
    [alive, 'directory'],
    [`${alive}/secret`, 'file'],
  ] as const) {
    const tree = `${dir.path}/tree-${place}`
    const target = `${tree}/a/mounted`
    mkdirSync(`${tree}/a`, { recursive: true })
    if (place === 'file') writeFileSync(target, '')
    else mkdirSync(target)
    // The same file system: only its mount tells it apart.
    mounts.mount({ type: 'bind', source, destination: target, options: ['bind'] })
    for (const path of [tree, target])
      await assert.rejects(paths.removeTree(path), (err) => codeOf(err) === 'failed_precondition')
    assertAlive(alive)
    await mounts.unmount(target)
    await paths.removeTree(tree)
    assert.ok(!existsSync(tree))
  }
  assertAlive(alive)
})

test('CVE-2024-23651 removeTree() is not led out by a swapped directory', needsRoot(), async () => {
  await using dir = scratch()
  const alive = canary(dir.path)
  const tree = `${dir.path}/tree`
  mkdirSync(tree)
  const worker = racer(`${tree}/x`, alive)
  for (let i = 0; i < 200; i++) {
    mkdirSync(tree, { recursive: true })
    await paths.removeTree(tree).catch((err) => assert.ok(['internal', 'aborted'].includes(codeOf(err)), err))
    assertAlive(alive)
  }
  await worker.terminate()
  await paths.removeTree(tree)
})

test('in-root operations resolve links inside the root', needsRoot(), async () => {
  await using dir = scratch()
  const alive = canary(dir.path)
  const root = `${dir.path}/root`
  mkdirSync(`${root}/etc`, { recursive: true })
  writeFileSync(`${root}/etc/passwd`, 'root:x:0:0')
  symlinkSync('/etc/passwd', `${root}/absolute`)
  symlinkSync('../../../../../../etc/passwd', `${root}/up`)
  symlinkSync(alive, `${root}/out`)
  symlinkSync('/proc/self/root', `${root}/magic`)
  symlinkSync('loop', `${root}/loop`)
  assert.equal(paths.readInRoot(root, 'absolute', 100)?.toString(), 'root:x:0:0')
  assert.equal(paths.readInRoot(root, '/../up', 100)?.toString(), 'root:x:0:0')
  for (const path of ['out/secret', 'out', 'none', 'etc/passwd/x', 'magic/etc/passwd'])
    assert.equal(paths.readInRoot(root, path, 100), undefined, path)
  assert.equal(paths.typeInRoot(root, '/'), 'directory')
  assert.equal(paths.typeInRoot(root, 'up'), 'file')
  paths.makeDirectoryInRoot(root, '/etc/../var/lib/x', 0o1777)
  assert.equal(statSync(`${root}/var/lib/x`).mode & 0o7777, 0o1777)
  paths.makeDirectoryInRoot(root, '/var/lib/x', 0o700)
  assert.equal(statSync(`${root}/var/lib/x`).mode & 0o7777, 0o1777)
  for (const path of ['out/new', 'etc/passwd', 'etc/passwd/x'])
    assert.throws(
      () => paths.makeDirectoryInRoot(root, path, 0o755),
      (err) => codeOf(err) === 'failed_precondition',
      path,
    )
  assertAlive(alive)
})

test('readInRoot() reads only regular files of a size', needsRoot(), async () => {
  await using dir = scratch()
  const root = dir.path
  const made = await shell(
    `cd ${root}; mkfifo fifo; mknod null c 1 3; mknod zero c 1 5; ln -s /loop loop; head -c 200 /dev/zero > large; mkdir d`,
  )
  assert.equal(made.exitCode, 0)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${root}/socket`, resolve))
  for (const path of ['fifo', 'null', 'zero', 'loop', 'large', 'd', '/', 'socket', 'a\0b'])
    assert.throws(
      () => paths.readInRoot(root, path, 100),
      (err) => codeOf(err) === 'invalid_argument',
      path,
    )
  assert.equal(paths.readInRoot(root, 'large', 200)?.length, 200)
  server.close()
})

test('in-root operations are not led out by a swapped directory', needsRoot(), async () => {
  await using dir = scratch()
  const alive = canary(dir.path)
  const root = `${dir.path}/root`
  mkdirSync(root)
  const worker = racer(`${root}/x`, alive)
  for (let i = 0; i < 300; i++) {
    assert.equal(paths.readInRoot(root, 'x/secret', 100), undefined)
    try {
      paths.makeDirectoryInRoot(root, `x/new-${i}`, 0o755)
    } catch {}
  }
  await worker.terminate()
  assertAlive(alive)
})

test('probe() tells types, follows links and ends at its deadline', needsRoot(), async () => {
  await using dir = scratch()
  symlinkSync('/dev/null', `${dir.path}/link`)
  symlinkSync('/nowhere', `${dir.path}/dangling`)
  const asked = ['/dev/null', `${dir.path}/link`, `${dir.path}/dangling`, '/etc', '-x', `${dir.path}/a\nb`]
  const found = await paths.probe(asked, 5000, signal)
  assert.deepEqual(
    found.map(({ path, type, major, minor }) => [path, type, major, minor]),
    [
      [asked[0], 'character', 1, 3],
      [asked[1], 'character', 1, 3],
      [asked[2], undefined, 0, 0],
      [asked[3], 'directory', 0, 0],
      ['-x', undefined, 0, 0],
      [asked[5], undefined, 0, 0],
    ],
  )
  symlinkSync('loop', `${dir.path}/loop`)
  await assert.rejects(paths.probe([`${dir.path}/loop`], 5000, signal), (err) => codeOf(err) === 'failed_precondition')
  assert.deepEqual(await paths.probe([], 1, signal), [])
})

test('probe() gives up on a hung file system, which is unmounted all the same', needsRoot(), async () => {
  await using dir = scratch()
  const hung = `${dir.path}/hung`
  mkdirSync(hung)
  // A FUSE file system whose server never answers.
  const fd = openSync('/dev/fuse', 'r+')
  const options = [`fd=${fd}`, 'rootmode=40000', 'user_id=0', 'group_id=0']
  mounts.mount({ type: 'fuse', source: 'hung', destination: hung, options })
  const before = performance.now()
  await assert.rejects(paths.probe([`${hung}/volume`], 300, signal), (err) => codeOf(err) === 'deadline_exceeded')
  await assert.rejects(paths.makeDirectory(`${hung}/volume`, 300, signal), (err) => codeOf(err) === 'deadline_exceeded')
  await assert.rejects(
    paths.probe([`${hung}/volume`], 60_000, AbortSignal.timeout(300)),
    (err) => codeOf(err) === 'deadline_exceeded',
  )
  assert.ok(performance.now() - before < 5000)
  assert.equal(mounts.isMountPoint(hung), true)
  closeSync(fd)
  // Now it is dead: even looking at it fails.
  assert.equal(mounts.isMountPoint(hung), true)
  await mounts.unmount(hung)
  assert.equal(mounts.isMountPoint(hung), false)
})

test('makeDirectory() and diskUsage() work through programs', needsRoot(), async () => {
  await using dir = scratch()
  await paths.makeDirectory(`${dir.path}/a/b`, 5000, signal)
  await paths.makeDirectory(`${dir.path}/a/b`, 5000, signal)
  writeFileSync(`${dir.path}/a/b/file`, Buffer.alloc(100_000))
  await assert.rejects(
    paths.makeDirectory(`${dir.path}/a/b/file/c`, 5000, signal),
    (err) => codeOf(err) === 'failed_precondition',
  )
  const { usedBytes, inodes } = await paths.diskUsage(`${dir.path}/a`, signal)
  assert.equal(inodes, 3n)
  assert.ok(usedBytes >= 100_000n && usedBytes < 200_000n)
  await assert.rejects(paths.diskUsage(`${dir.path}/none`, signal), (err) => codeOf(err) === 'failed_precondition')
})
