// Relabelling with the real attribute: the kernel stores it also where SELinux is off.
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type RelabelTask, runRelabel } from '../src/lsm/relabel.ts'
import { selinuxAttribute, setSelinuxLabel } from '../src/lsm/selinux.ts'
import { createProcesses } from '../src/processes.ts'
import { loadUnpackSyscalls } from '../src/unpack-syscalls.ts'
import { scratch } from './scratch.ts'

const processes = createProcesses()
const sys = loadUnpackSyscalls()
const label = 'system_u:object_r:container_file_t:s0:c1,c2'
const signal = AbortSignal.timeout(120_000)

const labelOf = (path: string | Buffer): string | undefined =>
  sys.xattrs(Buffer.from(path)).get(selinuxAttribute)?.toString('latin1')

function tree(base: string): string {
  const path = `${base}/volume`
  for (const name of ['a', 'b', 'c']) {
    mkdirSync(`${path}/${name}/deep`, { recursive: true })
    for (let i = 0; i < 10; i++) writeFileSync(`${path}/${name}/deep/${i}`, '')
  }
  return path
}

async function relabel(change: Partial<RelabelTask> & { path: string }, stallMs = 60_000) {
  const positions: (readonly string[])[] = []
  const task = { label, attribute: selinuxAttribute, after: [], finished: false, reportMs: 0, ...change }
  const onPosition = (_identity: string, after: readonly string[]) => positions.push(after)
  const { identity, counts } = await runRelabel(processes, { task, stallMs, onPosition }, signal)
  return { identity, counts, positions }
}

test('relabel: all of a tree, also links and odd names; nothing that a link leads to', needsRoot(), async () => {
  await using dir = scratch()
  const path = tree(dir.path)
  const canary = `${dir.path}/canary`
  mkdirSync(`${canary}/inner`, { recursive: true })
  writeFileSync(`${canary}/file`, '')
  symlinkSync(canary, `${path}/a/link`)
  symlinkSync(`${canary}/file`, `${path}/file-link`)
  const odd = Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0x0a, 0x5c])])
  writeFileSync(odd, '')
  const { counts } = await relabel({ path })
  assert.deepEqual(counts, { changed: 40, right: 0, left: 0, skipped: 0 })
  for (const done of [path, `${path}/a/deep/3`, `${path}/a/link`, `${path}/file-link`, odd])
    assert.equal(labelOf(done), `${label}\0`)
  for (const spared of [canary, `${canary}/file`, `${canary}/inner`]) assert.equal(labelOf(spared), undefined)
  assert.deepEqual((await relabel({ path })).counts, { changed: 0, right: 40, left: 0, skipped: 0 })
  const file = `${path}/b/deep/1`
  assert.equal((await relabel({ path: file, label: 'u:r:t:s0' })).counts.changed, 1)
  assert.equal(labelOf(file), 'u:r:t:s0\0')
})

test('relabel: a container that swaps directories for links meanwhile leads it nowhere', needsRoot(), async () => {
  await using dir = scratch()
  const path = tree(dir.path)
  const canary = `${dir.path}/canary`
  mkdirSync(`${canary}/deep`, { recursive: true })
  for (let i = 0; i < 10; i++) writeFileSync(`${canary}/deep/${i}`, '')
  const script = `while :; do mv ${path}/b ${dir.path}/b; ln -s ${canary} ${path}/b; rm ${path}/b; mv ${dir.path}/b ${path}/b; done`
  await using racer = await processes.start({ argv: ['/bin/sh', '-c', script], stdio: ['ignore', 'ignore', 'ignore'] })
  for (let round = 0; round < 10; round++) await relabel({ path, label: `u:r:t:s${round}` })
  racer.kill('SIGKILL')
  await racer.exited
  for (const spared of [canary, `${canary}/deep`, `${canary}/deep/5`]) assert.equal(labelOf(spared), undefined)
})

test('relabel: goes on where an earlier run came to, and never touches what that had finished', needsRoot(), async () => {
  await using dir = scratch()
  const path = tree(dir.path)
  const { identity, positions } = await relabel({ path })
  const middle = positions.findIndex(
    (names) => names.map((name) => Buffer.from(name, 'base64').toString()).join('/') === 'b/deep/4',
  )
  // As if the label had been taken away after it was set: who comes back would set it again.
  for (const name of ['a/deep/3', 'b/deep/4', 'b/deep/5']) setSelinuxLabel(`${path}/${name}`, 'old')
  const again = await relabel({ path, identity, after: positions[middle] ?? [] })
  assert.deepEqual([labelOf(`${path}/a/deep/3`), labelOf(`${path}/b/deep/4`)], ['old\0', 'old\0'])
  assert.equal(labelOf(`${path}/b/deep/5`), `${label}\0`)
  assert.equal(again.counts.changed, 1)
  assert.ok(again.counts.skipped > 0)
})

test('relabel: a finished tree is not walked; another one at its path is', needsRoot(), async () => {
  await using dir = scratch()
  const path = tree(dir.path)
  const { identity } = await relabel({ path })
  setSelinuxLabel(`${path}/a/deep/1`, 'old')
  const idle = await relabel({ path, identity, finished: true })
  assert.deepEqual(idle.counts, { changed: 0, right: 0, left: 0, skipped: 0 })
  assert.equal(labelOf(`${path}/a/deep/1`), 'old\0')
  // Somebody labelled the top anew: what was finished is finished no more.
  setSelinuxLabel(path, 'old')
  assert.equal((await relabel({ path, identity, finished: true })).counts.changed, 2)
  mkdirSync(`${dir.path}/next`)
  writeFileSync(`${dir.path}/next/file`, '')
  rmSync(path, { recursive: true })
  mkdirSync(path)
  writeFileSync(`${path}/file`, '')
  assert.equal((await relabel({ path: `${dir.path}/next`, identity, finished: true, after: ['file'] })).counts.changed, 2)
})

test('relabel: a volume that does not answer ends it; what cannot be is told in the kernel’s words', needsRoot(), async () => {
  await using dir = scratch()
  const task = { path: dir.path, label, attribute: selinuxAttribute, after: [], finished: false }
  const hung = { start: () => processes.start({ argv: ['/bin/sleep', '1000'], stdio: ['pipe', 'pipe', 'pipe'] }) }
  await assert.rejects(
    runRelabel(hung, { task, stallMs: 200, onPosition: () => {} }, signal),
    (err) => codeOf(err) === 'deadline_exceeded',
  )
  await assert.rejects(relabel({ path: `${dir.path}/absent` }), /ENOENT/)
})
