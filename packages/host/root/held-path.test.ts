import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { createHost, type HeldPath } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import { scratch } from './scratch.ts'

const { mounts, paths } = createHost()
const signal = AbortSignal.timeout(60_000)

const info = (path: string, type: 'file' | 'directory') => ({ path, type, major: 0, minor: 0 })

async function open(path: string): Promise<HeldPath> {
  const [held] = await paths.hold(await paths.probe([path], 5000, signal), 5000, signal)
  assert.ok(held)
  return held
}

test('what is held is cloned, whatever stands at its name by then', needsRoot(), async () => {
  await using dir = scratch()
  const [source, other, view] = [`${dir.path}/source`, `${dir.path}/other`, `${dir.path}/view`]
  for (const path of [source, other]) mkdirSync(path)
  writeFileSync(`${source}/mine`, '')
  const swaps: readonly (() => void)[] = [
    () => {},
    () => {
      renameSync(source, `${source}.away`)
      symlinkSync(other, source)
    },
    () => {
      rmSync(source)
      mkdirSync(source)
    },
  ]
  using held = await open(source)
  for (const [i, swap] of swaps.entries()) {
    swap()
    const request = { source, held, destination: view, recursive: true, timeoutMs: 5000 }
    await mounts.mountClone(request, signal)
    assert.deepEqual(readdirSync(view), ['mine'], String(i))
    mounts.detach(view)
  }
  assert.equal(held.realPath(), `${source}.away`)
  rmSync(`${source}.away`, { recursive: true })
  await assert.rejects(
    mounts.mountClone({ source, held, destination: view, recursive: true }, signal),
    (err) => codeOf(err) === 'failed_precondition' && explain(err).includes(`${source} and all below was removed`),
  )
})

test('links are followed once; files, devices and sockets are held as they are', needsRoot(), async () => {
  await using dir = scratch()
  writeFileSync(`${dir.path}/file`, 'text')
  symlinkSync('file', `${dir.path}/link`)
  await run(['/usr/bin/mkfifo', `${dir.path}/fifo`])
  const server = createServer().listen(`${dir.path}/socket`)
  await new Promise((resolve) => server.once('listening', resolve))
  const cases = { file: 'file', link: 'file', fifo: 'fifo', socket: 'socket', '.': 'directory' } as const
  for (const [name, type] of Object.entries(cases)) {
    using held = await open(`${dir.path}/${name}`)
    assert.equal(held.type, type, name)
    if (name === 'link') assert.equal(held.realPath(), `${dir.path}/file`)
  }
  using device = await open('/dev/null')
  assert.equal(device.type, 'character')
  using link = await open(`${dir.path}/link`)
  rmSync(`${dir.path}/link`)
  const destination = `${dir.path}/view`
  await mounts.mountClone({ source: 'x', held: link, destination, recursive: true }, signal)
  assert.equal(readFileSync(destination, 'utf8'), 'text')
  mounts.detach(destination)
  await new Promise((resolve) => server.close(resolve))
  const gone = (err: unknown) => codeOf(err) === 'failed_precondition' && explain(err).includes('ENOENT')
  const asked = [`${dir.path}/file`, `${dir.path}/none`, '/proc/self/status'].map((path) => info(path, 'file'))
  await assert.rejects(paths.hold(asked, 5000, signal), gone)
})

test('what the kernel cannot tell at once is opened by another process: sysfs, procfs, what hangs', needsRoot(), async () => {
  await using dir = scratch()
  for (const path of ['/sys/fs', '/sys/kernel/mm', '/proc/sys/kernel', '/proc/1/ns', '/sys', '/proc', '/etc/mtab', '/dev/pts']) {
    using held = await open(path)
    assert.equal(held.type, path === '/etc/mtab' ? 'file' : 'directory', path)
  }
  const hung = `${dir.path}/hung`
  mkdirSync(hung)
  const fd = openSync('/dev/fuse', 'r+')
  mounts.mount({
    ...{ type: 'fuse', source: 'hung', destination: hung },
    options: [`fd=${fd}`, 'rootmode=40000', 'user_id=0', 'group_id=0'],
  })
  const late = (err: unknown) => codeOf(err) === 'deadline_exceeded' && explain(err).includes(`${hung}/volume`)
  const found = [info(dir.path, 'directory'), info(`${hung}/volume`, 'file')]
  await assert.rejects(paths.hold(found, 1500, signal), late)
  closeSync(fd)
  await mounts.unmount(hung)
})

test('holdBeneath() goes through no link and not upwards', needsRoot(), async () => {
  await using dir = scratch()
  mkdirSync(`${dir.path}/root/a`, { recursive: true })
  writeFileSync(`${dir.path}/root/a/b`, '')
  symlinkSync('a', `${dir.path}/root/link`)
  const beneath = (path: string) => paths.holdBeneath(`${dir.path}/root`, path)
  for (const [path, type] of [
    ['', 'directory'],
    ['a/b', 'file'],
  ] as const) {
    using held = beneath(path)
    assert.equal(held?.type, type)
  }
  for (const path of ['none', 'a/b/c']) assert.equal(beneath(path), undefined)
  for (const path of ['link', 'link/b', '..', 'a/../..', '/etc'])
    assert.throws(
      () => beneath(path),
      (err) => codeOf(err) === 'invalid_argument',
      path,
    )
})

test('enclose(): what is mounted inside goes to no peer, and with no bind of what lies above', needsRoot(), async () => {
  await using dir = scratch()
  const [shared, peer, outer] = [`${dir.path}/shared`, `${dir.path}/peer`, `${dir.path}/outer`]
  for (const path of [shared, peer, outer]) mkdirSync(path)
  mounts.mount({ type: 'tmpfs', source: 't', destination: shared, options: ['shared'] })
  mounts.mount({ type: 'bind', source: shared, destination: peer, options: ['bind'] })
  const place = `${shared}/place`
  mounts.enclose(place)
  await mounts.mountClone({ source: '/etc', destination: `${place}/0`, recursive: true }, signal)
  assert.ok(readdirSync(`${place}/0`).includes('passwd'))
  assert.deepEqual(readdirSync(`${peer}/place/0`), [])
  mounts.mount({ type: 'bind', source: shared, destination: outer, options: ['rbind', 'rprivate'] })
  assert.deepEqual(
    mounts.list().filter(({ target }) => target.startsWith(`${outer}/`)),
    [],
  )
  // The clone itself can be bound.
  const bound = `${dir.path}/bound`
  mkdirSync(bound)
  mounts.mount({ type: 'bind', source: `${place}/0`, destination: bound, options: ['rbind'] })
  await mounts.dissolve(place)
  await mounts.dissolve(place)
  assert.equal(existsSync(place), false)
  // Not enclosed: what is mounted there is not emptied.
  for (const path of [`${dir.path}/full`, `${place}.2`]) mkdirSync(path)
  writeFileSync(`${dir.path}/full/kept`, '')
  for (const source of [`${dir.path}/full`, `${dir.path}/full/kept`])
    await mounts.mountClone({ source, destination: join(`${place}.2`, basename(source)), recursive: true }, signal)
  await mounts.dissolve(`${place}.2`)
  assert.deepEqual(readdirSync(`${dir.path}/full`), ['kept'])
  assert.ok(readdirSync(bound).includes('passwd'))
  assert.ok(!mounts.list().some(({ target }) => target.includes('/place')))
  await mounts.unmountBelow(dir.path)
})
