// User namespaces that own the namespaces pinned with them, and idmapped mounts.
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch as privateScratch } from './scratch.ts'

const host = createHost()

/** One that others than root can go through. */
function scratch() {
  const dir = privateScratch()
  chmodSync(dir.path, 0o711)
  return dir
}

const { signal } = new AbortController()
const kinds = ['net', 'ipc', 'uts'] as const
const base = 200_000
const ids = [{ containerID: 0, hostID: base, size: 65536 }]
const userMappings = { uids: ids, gids: ids }

async function inside(directory: string, script: string, namespaces: readonly string[] = [...kinds, 'user']): Promise<string> {
  const enter = namespaces.map((kind) => `--${kind}=${directory}/${kind}`)
  const { stdout, stderr, exitCode } = await host.processes.run({
    argv: ['/usr/bin/nsenter', ...enter, '--setuid=0', '--setgid=0', '/bin/sh', '-c', script],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeoutMs: 10_000,
    signal,
  })
  assert.equal(exitCode, 0, stderr.toString())
  return stdout.toString()
}

const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')

test('pin() with mappings makes a user namespace that owns the others', needsRoot(), async () => {
  await using dir = scratch()
  const directory = `${dir.path}/pod`
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '81', 'kernel.shm_rmid_forced': '1', 'fs.mqueue.msg_max': '20' }
  host.namespaces.pin({ directory, kinds, hostname: 'web-1', sysctls, userMappings })
  for (const kind of [...kinds, 'user'] as const) assert.ok(host.namespaces.isPinned(directory, kind), kind)
  const told = await inside(
    directory,
    // Its root has power over its own namespaces only: it may rename the pod, and change its addresses.
    `id -u; cat /proc/self/uid_map /proc/self/gid_map; hostname; hostname web-2; hostname
     cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max
     ip addr add 10.9.8.7/32 dev lo && ip -o addr show lo; chown 1:1 ${dir.path} 2>/dev/null && echo chowned; true`,
  )
  assert.match(told, /^0\n\s+0\s+200000\s+65536\n\s+0\s+200000\s+65536\nweb-1\nweb-2\n81\n1\n20\n/)
  assert.match(told, /127\.0\.0\.1\/8[\s\S]*10\.9\.8\.7/)
  assert.doesNotMatch(told, /chowned/)
  assert.equal(children(), '')
  await host.namespaces.unpin(directory)
  assert.ok(!existsSync(directory))
})

test('sysfs and mqueue can be mounted in namespaces that the user namespace owns', needsRoot(), async () => {
  await using dir = scratch()
  const directory = `${dir.path}/pod`
  host.namespaces.pin({ directory, kinds, userMappings })
  const script = `unshare -m sh -c 'mount -t sysfs s /sys && ls /sys/class/net && mount -t mqueue m /mnt && ls -d /mnt'`
  assert.match(await inside(directory, script), /\blo\n\/mnt\n$/)
  await host.namespaces.unpin(directory)
})

test('pin() with mappings leaves nothing when it fails half way', needsRoot(), async () => {
  await using dir = scratch()
  const directory = `${dir.path}/pod`
  const overlap = { uids: [...ids, { containerID: 5, hostID: 1, size: 1 }], gids: ids }
  for (const request of [{ userMappings: overlap }, { userMappings, sysctls: { 'net.does.not_exist': '1' } }]) {
    assert.throws(() => host.namespaces.pin({ directory, kinds, ...request }))
    assert.ok(!existsSync(directory))
    assert.equal(children(), '')
  }
})

test('a user namespace alone; fifty of them leave no process and no mount', needsRoot(), async () => {
  await using dir = scratch()
  const times: number[] = []
  for (let i = 0; i < 50; i++) {
    const start = performance.now()
    host.namespaces.pin({ directory: `${dir.path}/${i}`, kinds: [], userMappings })
    times.push(performance.now() - start)
  }
  assert.equal(children(), '')
  assert.match(await inside(`${dir.path}/49`, 'cat /proc/self/uid_map', ['user']), /^\s+0\s+200000\s+65536\n$/)
  for (let i = 0; i < 50; i++) await host.namespaces.unpin(`${dir.path}/${i}`)
  assert.deepEqual(readdirSync(dir.path), [])
  console.log(`user namespace: median ${times.toSorted((a, b) => a - b)[25]?.toFixed(2)} ms`)
})

test('mountClone() shows a tree with other owners, in both directions', needsRoot(), async () => {
  await using dir = scratch()
  const [directory, disk, view] = [`${dir.path}/ns`, `${dir.path}/disk`, `${dir.path}/view`]
  for (const path of [`${disk}/below`, view]) mkdirSync(path, { recursive: true })
  writeFileSync(`${disk}/file`, 'x')
  writeFileSync(`${disk}/user`, 'y')
  chownSync(`${disk}/user`, 1000, 1000)
  host.namespaces.pin({ directory, kinds: [], userMappings })
  const usernsPath = `${directory}/user`
  await host.mounts.mountClone({ source: disk, destination: view, usernsPath, recursive: false, timeoutMs: 5000 }, signal)
  assert.equal(statSync(`${view}/file`).uid, base)
  assert.equal(statSync(`${view}/user`).gid, base + 1000)
  assert.equal(statSync(`${disk}/file`).uid, 0)
  await inside(directory, `echo made >${view}/made && chown 7:8 ${view}/made`, ['user'])
  const { uid, gid } = statSync(`${disk}/made`)
  assert.deepEqual([uid, gid], [7, 8])
  // Root of the host has no id there.
  assert.throws(() => writeFileSync(`${view}/host`, ''), { code: 'EOVERFLOW' })
  await host.mounts.unmount(view)
  await host.namespaces.unpin(directory)
})

test('an overlay on idmapped lower layers', needsRoot(), async () => {
  await using dir = scratch()
  const [directory, layers, mapped, upper, root] = ['ns', 'layers', 'mapped', 'upper', 'root'].map(
    (name) => `${dir.path}/${name}`,
  ) as [string, string, string, string, string]
  for (const path of [`${layers}/1`, mapped, `${upper}/fs`, `${upper}/work`, root]) mkdirSync(path, { recursive: true })
  writeFileSync(`${layers}/1/file`, 'x')
  chownSync(`${upper}/fs`, base, base)
  host.namespaces.pin({ directory, kinds: [], userMappings })
  const request = { source: layers, destination: mapped, usernsPath: `${directory}/user`, recursive: false, timeoutMs: 5000 }
  await host.mounts.mountClone(request, signal)
  const options = [`lowerdir=${mapped}/1`, `upperdir=${upper}/fs`, `workdir=${upper}/work`]
  host.mounts.mount({ type: 'overlay', source: 'overlay', destination: root, options })
  // The overlay has mounts of its own of its layers.
  await host.mounts.unmount(mapped)
  assert.equal(statSync(`${root}/file`).uid, base)
  await inside(directory, `echo more >>${root}/file; echo new >${root}/new; chown 3:4 ${root}/new`, ['user'])
  assert.equal(statSync(`${upper}/fs/file`).uid, base)
  assert.equal(statSync(`${upper}/fs/new`).uid, base + 3)
  assert.equal(statSync(`${layers}/1/file`).uid, 0)
  assert.equal(readFileSync(`${layers}/1/file`, 'utf8'), 'x')
  await host.mounts.unmount(root)
  await host.namespaces.unpin(directory)
})

test('mountClone() names the file system that cannot be mapped', needsRoot(), async () => {
  await using dir = scratch()
  const [directory, view, disk] = [`${dir.path}/ns`, `${dir.path}/view`, `${dir.path}/disk`]
  for (const path of [view, `${disk}/proc`]) mkdirSync(path, { recursive: true })
  host.namespaces.pin({ directory, kinds: [], userMappings })
  const map = (source: string, recursive: boolean) =>
    host.mounts.mountClone({ source, destination: view, usernsPath: `${directory}/user`, recursive, timeoutMs: 5000 }, signal)
  const refused = (what: string) => (err: unknown) => codeOf(err) === 'failed_precondition' && explain(err).includes(what)
  await assert.rejects(map('/proc', false), refused('/proc (proc)'))
  host.mounts.mount({ type: 'proc', source: 'proc', destination: `${disk}/proc`, options: [] })
  await assert.rejects(map(disk, true), refused(`${disk}/proc (proc)`))
  await map(disk, false)
  await assert.rejects(map(view, false), refused('are not yet'))
  await host.mounts.unmount(view)
  await host.mounts.unmount(`${disk}/proc`)
  await assert.rejects(map(`${dir.path}/none`, false), (err) => explain(err).includes('ENOENT'))
  await host.namespaces.unpin(directory)
})

test('spread() gives each mount of a clone a place of its own, and goes through no link', needsRoot(), async () => {
  await using dir = scratch()
  const [disk, view] = [`${dir.path}/disk`, `${dir.path}/view`]
  const anybody = { uids: [], gids: [] }
  mkdirSync(`${disk}/a/b`, { recursive: true })
  host.mounts.mount({ type: 'tmpfs', source: 't', destination: `${disk}/a/b`, options: [] })
  mkdirSync(`${disk}/a/b/c`)
  host.mounts.mount({ type: 'tmpfs', source: 't', destination: `${disk}/a/b/c`, options: [] })
  writeFileSync(`${disk}/a/b/c/deep`, '')
  const clone = (destination: string, recursive: boolean) =>
    host.mounts.mountClone({ source: disk, destination, recursive, timeoutMs: 5000 }, signal)
  await clone(view, true)
  const all = host.mounts.spread(view, anybody)
  assert.deepEqual(
    all.map(({ path }) => path),
    ['.', 'a/b', 'a/b/c'],
  )
  assert.deepEqual(
    all.map(({ source }) => readdirSync(source)),
    [['a'], ['c'], ['deep']],
  )
  // Each is one mount, without the next.
  assert.deepEqual([readdirSync(`${all[0]?.source}/a/b`), readdirSync(`${all[1]?.source}/c`)], [[], []])
  for (const { source } of all) host.mounts.detach(source)
  // The directory on the way is replaced by a link to another mount.
  renameSync(`${disk}/a`, `${disk}/other`)
  symlinkSync('other', `${disk}/a`)
  assert.deepEqual(
    host.mounts.spread(view, anybody).map(({ path }) => path),
    ['.', 'other/b', 'other/b/c'],
  )
  for (const { source } of host.mounts.list().map(({ target }) => ({ source: target })))
    if (source.startsWith(`${view}.`)) host.mounts.detach(source)
  // Nor are those behind a directory that the visitors cannot go through.
  chmodSync(`${disk}/other`, 0o700)
  assert.deepEqual(
    host.mounts.spread(view, anybody).map(({ path }) => path),
    ['.'],
  )
  host.mounts.detach(`${view}.0`)
  const rootsOwn = [{ containerID: 0, hostID: 0, size: 1 }]
  assert.equal(host.mounts.spread(view, { uids: rootsOwn, gids: rootsOwn }).length, 3)
  for (const i of [0, 1, 2]) host.mounts.detach(`${view}.${i}`)
  // What another mount hides is not there.
  host.mounts.mount({ type: 'tmpfs', source: 't', destination: `${disk}/other`, options: [] })
  host.mounts.detach(view)
  await clone(view, true)
  assert.deepEqual(
    host.mounts.spread(view, anybody).map(({ path }) => path),
    ['.', 'other'],
  )
  host.mounts.detach(view)
  await clone(`${dir.path}/flat`, false)
  assert.deepEqual(host.mounts.spread(`${dir.path}/flat`, anybody), [])
  await host.mounts.unmountBelow(dir.path)
})
