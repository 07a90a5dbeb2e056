// Volumes of pods with user namespaces: ids mapped where the CRI asks for it, by the kernel, under runtimes that know nothing of it.
import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MountPropagation } from '@coracle/cri-api'
import { busyboxLayer } from '@coracle/testkit/busybox-images'
import { eventually } from '@coracle/testkit/eventually'
import { run } from '@coracle/testkit/program'
import { failsWith } from '../cri/expect.ts'
import { type ContainerInit, type Cri, criSuite } from '../cri/suite.ts'
import { base, ids, inside, mapped, owner } from './userns-scene.ts'

const mapping = { uidMappings: ids, gidMappings: ids }

/** A directory that only root can go to, as kubelet's are, with files of root and of user 1000. */
function volume(cri: Cri): string {
  const parent = join(cri.node.world.pods, cri.unique('kubelet-'))
  const path = join(parent, 'volume')
  mkdirSync(path, { recursive: true })
  chmodSync(parent, 0o700)
  writeFileSync(join(path, 'roots'), 'r')
  writeFileSync(join(path, 'users'), 'u')
  chownSync(join(path, 'users'), 1000, 1000)
  return path
}

async function mount(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await run(['/bin/mount', ...args])
  assert.equal(exitCode, 0, stderr)
}

const withMounts = (mounts: ContainerInit['mounts'], security: object = {}): ContainerInit => ({
  ...inside(security),
  ...(mounts === undefined ? {} : { mounts }),
})

criSuite('volumes in user namespaces', (cri) => {
  for (const handler of ['crun', 'runc'])
    describe(handler, () => {
      mappedMounts(cri, handler)
      images(cri, handler)
    })
  refusals(cri)
  it('nothing of it is left beside a running container', async () => {
    await using pod = await cri.pod(mapped())
    const container = await pod.run(withMounts([{ containerPath: '/data', hostPath: volume(cri), ...mapping }]))
    const bundle = join(cri.node.world.state, 'containers', container.id)
    await eventually('its clones are gone', async () => existsSync(bundle) && !existsSync(join(bundle, 'clones')))
    assert.deepEqual(readdirSync(join(cri.node.world.state, 'images/idmap')), [])
    const { stdout } = await run(['/bin/grep', '-c', `${container.id}.*clones`, '/proc/self/mountinfo'])
    assert.equal(stdout.trim(), '0')
  })
})

function mappedMounts(cri: Cri, handler: string): void {
  it('a mount with mappings: owners are the same inside and on the disk', async () => {
    const hostPath = volume(cri)
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run(withMounts([{ containerPath: '/data', hostPath, ...mapping }]))
    assert.equal(await container.sh('stat -c %u /data/roots /data/users'), '0\n1000')
    await container.sh('echo x >/data/made; echo y >/data/given; chown 33:34 /data/given; chown 5 /data/users')
    assert.deepEqual(
      ['made', 'given', 'users'].map((name) => owner(join(hostPath, name))[0]),
      [0, 33, 5],
    )
  })

  it('a mount without: its files are nobody’s', async () => {
    const hostPath = volume(cri)
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run(withMounts([{ containerPath: '/data', hostPath }]))
    assert.equal(await container.sh('stat -c %u /data/roots /data/users'), '65534\n65534')
    assert.notEqual((await container.exec(['touch', '/data/new'])).exitCode, 0)
  })

  it('a single file, read-only and writable, and a link to a directory', async () => {
    const hostPath = volume(cri)
    await run(['/bin/ln', '-s', hostPath, `${hostPath}.link`])
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run(
      withMounts([
        { containerPath: '/etc/hosts', hostPath: join(hostPath, 'roots'), ...mapping },
        { containerPath: '/ro', hostPath: join(hostPath, 'users'), readonly: true, ...mapping },
        { containerPath: '/link', hostPath: `${hostPath}.link`, ...mapping },
      ]),
    )
    assert.equal(await container.sh('echo more >>/etc/hosts; stat -c %u /etc/hosts /ro /link/users'), '0\n1000\n1000')
    assert.match((await container.exec(['sh', '-c', 'echo x >/ro'])).stderr, /Read-only/)
  })

  it('what is mounted below is mapped with it, and read-only with it', async () => {
    const hostPath = volume(cri)
    mkdirSync(join(hostPath, 'below'))
    await mount('-t', 'tmpfs', 'below', join(hostPath, 'below'))
    try {
      await using pod = await cri.pod(mapped(), handler)
      const { runtimeHandlers } = await cri.runtime.status({})
      const recursiveReadOnly = runtimeHandlers.find(({ name }) => name === handler)?.features?.recursiveReadOnlyMounts === true
      const container = await pod.run(
        withMounts([
          { containerPath: '/data', hostPath, ...mapping },
          { containerPath: '/ro', hostPath, readonly: true, recursiveReadOnly, ...mapping },
        ]),
      )
      await container.sh('echo x >/data/below/x')
      assert.deepEqual(owner(join(hostPath, 'below/x')), [0, 0])
      assert.equal((await container.exec(['touch', '/ro/below/y'])).exitCode, recursiveReadOnly ? 1 : 0)
    } finally {
      await run(['/bin/umount', '-l', join(hostPath, 'below')])
    }
  })

  it('a tree of the host: what is mounted below it is there, as far as the pod can go', async () => {
    const hostPath = volume(cri)
    for (const name of ['open/deep', 'closed/in']) {
      mkdirSync(join(hostPath, name), { recursive: true })
      await mount('-t', 'tmpfs', 'below', join(hostPath, name))
      writeFileSync(join(hostPath, name, 'mark'), '')
    }
    chmodSync(join(hostPath, 'closed'), 0o700)
    try {
      await using pod = await cri.pod(mapped(), handler)
      const container = await pod.run(withMounts([{ containerPath: '/host', hostPath, readonly: true }]))
      assert.equal(await container.sh('ls /host/open/deep'), 'mark')
      assert.match((await container.exec(['ls', '/host/closed'])).stderr, /denied/)
    } finally {
      for (const name of ['open/deep', 'closed/in']) await run(['/bin/umount', '-l', join(hostPath, name)])
    }
  })

  it('later mounts of the host come in', async () => {
    const hostPath = volume(cri)
    await mount('-t', 'tmpfs', 'shared', hostPath)
    await mount('--make-shared', hostPath)
    try {
      await using pod = await cri.pod(mapped(), handler)
      const propagation = MountPropagation.PROPAGATION_HOST_TO_CONTAINER
      const container = await pod.run(withMounts([{ containerPath: '/data', hostPath, propagation, ...mapping }]))
      mkdirSync(join(hostPath, 'late'))
      await mount('-t', 'tmpfs', 'late', join(hostPath, 'late'))
      writeFileSync(join(hostPath, 'late/mark'), '')
      assert.equal(await container.sh('ls /data/late; stat -c %u /data/late/..'), 'mark\n0')
    } finally {
      await run(['/bin/umount', '-l', '-R', hostPath])
    }
  })

  it('a mapping of its own, also in a pod without a user namespace', async () => {
    const other = [{ containerId: 1000, hostId: base + 7, length: 1 }]
    const mount = { containerPath: '/data', uidMappings: other, gidMappings: other }
    const hostPath = volume(cri)
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run(withMounts([{ ...mount, hostPath }]))
    assert.equal(await container.sh('stat -c %u /data/users /data/roots'), '7\n65534')
    await using plain = await cri.pod({}, handler)
    const host = await plain.run({ mounts: [{ ...mount, hostPath }] })
    assert.equal(await host.sh('stat -c %u /data/users'), String(base + 7))
  })
}

function images(cri: Cri, handler: string): void {
  it('image volumes and the volumes an image declares', async () => {
    const volumes = { '/vol': {} }
    const layers = [await busyboxLayer(), [{ path: 'kept', body: 'k', uid: 42, gid: 43 }]]
    await cri.registry.push('test/userns', '1', { layers, config: { Volumes: volumes, Cmd: ['sh'], Env: ['PATH=/bin'] } })
    const image = { image: `${cri.registry.host}/test/userns:1` }
    await cri.image.pullImage({ image })
    await using pod = await cri.pod(mapped(), handler)
    const container = await pod.run({
      ...withMounts([{ containerPath: '/img', image, readonly: true }], { readonlyRootfs: true }),
      image,
    })
    assert.equal(await container.sh('stat -c %u:%g /img/kept /kept /vol'), '42:43\n42:43\n0:0')
    await container.sh('echo x >/vol/x; chown 9 /vol/x')
    assert.deepEqual(owner(join(cri.node.world.root, 'volumes', container.id, '0/x')), [9, 0])
    assert.match((await container.exec(['touch', '/img/new'])).stderr, /Read-only/)
    assert.match((await container.exec(['touch', '/new'])).stderr, /Read-only/)
  })
}

function refusals(cri: Cri): void {
  it('a file system that cannot be mapped is named, and so is one mounted below', async () => {
    const hostPath = volume(cri)
    mkdirSync(join(hostPath, 'ram'))
    await mount('-t', 'ramfs', 'ram', join(hostPath, 'ram'))
    try {
      await using pod = await cri.pod(mapped())
      const create = (path: string) => pod.create(withMounts([{ containerPath: '/data', hostPath: path, ...mapping }]))
      const ram = `${hostPath}/ram (ramfs)`.replaceAll(/[().]/g, '\\$&')
      await failsWith('failed_precondition', create(join(hostPath, 'ram')), new RegExp(`/data.*mounted idmapped.*: ${ram}`))
      await failsWith('failed_precondition', create(hostPath), new RegExp(`mounted idmapped.*${ram}`))
    } finally {
      await run(['/bin/umount', '-l', join(hostPath, 'ram')])
    }
  })
}
