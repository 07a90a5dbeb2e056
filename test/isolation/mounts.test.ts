// Mounts as the kernel has them inside: propagation, recursive read-only, options, image volumes, odd sources. Under each runtime.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MountPropagation } from '@coracle/cri-api'
import { run } from '@coracle/testkit/program'
import { failsWith } from '../cri/expect.ts'
import { type Cri, criSuite } from '../cri/suite.ts'
import { pushImage } from './suite.ts'

const { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = MountPropagation

async function mount(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await run(['/bin/mount', ...args])
  assert.equal(exitCode, 0, stderr)
}

/** A tmpfs with a tmpfs below it, in the test's world; unmounted at the end of the scope. */
async function tree(cri: Cri, sharedness: 'shared' | 'slave' | 'private') {
  const path = join(cri.node.world.pods, cri.unique('tree-'))
  mkdirSync(path)
  await mount('-t', 'tmpfs', 'tree', path)
  if (sharedness === 'slave') {
    // A slave needs a peer that it is a slave of.
    await mount('--make-shared', path)
    mkdirSync(join(path, 'peer'))
    await mount('--bind', path, join(path, 'peer'))
    await mount('--make-slave', join(path, 'peer'))
  } else await mount(`--make-${sharedness}`, path)
  const root = sharedness === 'slave' ? join(path, 'peer') : path
  mkdirSync(join(root, 'below'))
  await mount('-t', 'tmpfs', 'below', join(root, 'below'))
  writeFileSync(join(root, 'below/file'), 'x')
  return {
    path: root,
    async [Symbol.asyncDispose]() {
      await run(['/bin/umount', '-l', '-R', path])
    },
  }
}

const admin = { securityContext: { capabilities: { addCapabilities: ['SYS_ADMIN'] } } }

criSuite('mounts', (cri) => {
  for (const handler of ['crun', 'runc'])
    describe(handler, () => {
      it('propagation is what was asked for, in both directions', async () => {
        await using shared = await tree(cri, 'shared')
        await using pod = await cri.pod({}, handler)
        const at = (propagation: MountPropagation) => ({
          mounts: [{ containerPath: '/data', hostPath: shared.path, propagation }],
          linux: admin,
        })
        const [none, slave, both] = await Promise.all([
          pod.run(at(PROPAGATION_PRIVATE)),
          pod.run(at(PROPAGATION_HOST_TO_CONTAINER)),
          pod.run(at(PROPAGATION_BIDIRECTIONAL)),
        ])
        mkdirSync(join(shared.path, 'late'))
        await mount('-t', 'tmpfs', 'late', join(shared.path, 'late'))
        writeFileSync(join(shared.path, 'late/mark'), '')
        const seen = async (container: typeof none) => (await container.exec(['test', '-e', '/data/late/mark'])).exitCode === 0
        assert.deepEqual([await seen(none), await seen(slave), await seen(both)], [false, true, true])
        const inside = async (container: typeof none, name: string) => {
          await container.sh(`mkdir -p /data/${name} && mount -t tmpfs x /data/${name} && touch /data/${name}/mark`)
          return existsSync(join(shared.path, name, 'mark'))
        }
        assert.deepEqual([await inside(none, 'n'), await inside(slave, 's'), await inside(both, 'b')], [false, false, true])
      })

      it('recursive read-only reaches what is mounted below; plain read-only does not', async () => {
        await using source = await tree(cri, 'private')
        await using pod = await cri.pod({}, handler)
        const container = await pod.run({
          mounts: [
            { containerPath: '/deep', hostPath: source.path, readonly: true, recursiveReadOnly: true },
            { containerPath: '/flat', hostPath: source.path, readonly: true },
          ],
        })
        const writable = async (path: string) => (await container.exec(['touch', path])).exitCode === 0
        assert.deepEqual(
          [
            await writable('/deep/x'),
            await writable('/deep/below/x'),
            await writable('/flat/x'),
            await writable('/flat/below/x'),
          ],
          [false, false, false, true],
        )
        const { status } = { status: await container.status() }
        assert.deepEqual(
          status.mounts.map(({ recursiveReadOnly }) => recursiveReadOnly),
          [true, false],
        )
      })

      it('mount_options bind: no programs, no devices, no set-user-id', async () => {
        await using source = await tree(cri, 'private')
        await using pod = await cri.pod({}, handler)
        const container = await pod.run({
          mounts: [
            { containerPath: '/none', hostPath: source.path, mountOptions: ['noexec', 'nodev', 'nosuid'] },
            { containerPath: '/all', hostPath: source.path },
          ],
          linux: { securityContext: { capabilities: { addCapabilities: ['MKNOD'] } } },
        })
        await container.sh('cp /bin/busybox /all/sh && chmod 4755 /all/sh && mknod /all/null c 1 3 && chmod 666 /all/null')
        assert.match(await container.sh('grep " /none " /proc/self/mountinfo'), /nosuid,nodev,noexec/)
        const works = async (script: string) => (await container.exec(['sh', '-c', script])).exitCode === 0
        assert.deepEqual([await works('/none/sh -c true'), await works('/all/sh -c true')], [false, true])
        assert.deepEqual([await works('echo x > /none/null'), await works('echo x > /all/null')], [false, true])
      })

      it('every other option is enforced too, or refused', async () => {
        await using source = await tree(cri, 'private')
        await using pod = await cri.pod({}, handler)
        for (const option of ['noatime', 'nodiratime', 'relatime', 'strictatime', 'nosymfollow']) {
          const mounts = [{ containerPath: '/data', hostPath: source.path, mountOptions: [option] }]
          try {
            const container = await pod.run({ mounts })
            const line = await container.sh('grep " /data " /proc/self/mountinfo')
            // Without a word about access times they are strict.
            if (option === 'strictatime') assert.doesNotMatch(line, /noatime|relatime/)
            else assert.match(line, new RegExp(`[ ,]${option}[ ,]`), option)
          } catch (err) {
            assert.match(String(err), /mount_options\[0\] .* not supported by this handler/, option)
          }
        }
      })
    })

  it('a propagation that the source cannot have is refused, naming the source', async () => {
    await using own = await tree(cri, 'private')
    await using slave = await tree(cri, 'slave')
    await using pod = await cri.pod()
    const create = (hostPath: string, propagation: MountPropagation) =>
      pod.create({ mounts: [{ containerPath: '/data', hostPath, propagation }] })
    await failsWith('failed_precondition', create(own.path, PROPAGATION_BIDIRECTIONAL), /mounts\[0\]\.propagation.*private mount/)
    await failsWith('failed_precondition', create(own.path, PROPAGATION_HOST_TO_CONTAINER), /private mount/)
    await failsWith('failed_precondition', create(slave.path, PROPAGATION_BIDIRECTIONAL), /slave mount: expected a shared/)
    await create(slave.path, PROPAGATION_HOST_TO_CONTAINER)
    // Where a link leads counts, not where it lies.
    const link = join(cri.node.world.pods, cri.unique('link-'))
    symlinkSync(join(own.path, 'below'), link)
    await failsWith('failed_precondition', create(link, PROPAGATION_BIDIRECTIONAL), /private mount/)
  })

  it('recursive read-only without its conditions is refused', async () => {
    await using source = await tree(cri, 'shared')
    await using pod = await cri.pod()
    const create = (change: object) =>
      pod.create({ mounts: [{ containerPath: '/data', hostPath: source.path, recursiveReadOnly: true, ...change }] })
    await failsWith('invalid_argument', create({}), /recursive_read_only needs readonly/)
    await failsWith(
      'invalid_argument',
      create({ readonly: true, propagation: PROPAGATION_HOST_TO_CONTAINER }),
      /needs propagation PRIVATE/,
    )
    const words = /is not one of/
    await failsWith(
      'invalid_argument',
      pod.create({ mounts: [{ containerPath: '/d', hostPath: source.path, mountOptions: ['rw'] }] }),
      words,
    )
  })

  it('features tell which handler can do it', async () => {
    const { runtimeHandlers, features } = await cri.runtime.status({})
    const told = Object.fromEntries(runtimeHandlers.map(({ name, features: own }) => [name, own?.recursiveReadOnlyMounts]))
    assert.deepEqual([told['crun'], told['runc'], told['runsc'] ?? false], [true, true, false])
    assert.equal(features?.mountOptions, true)
  })

  it('a handler that cannot make mounts below read-only refuses, with the word that kubelet knows', async (test) => {
    const { runtimeHandlers } = await cri.runtime.status({})
    if (process.env['TEST_ROOT'] === undefined && !runtimeHandlers.some(({ name }) => name === 'runsc'))
      return test.skip('runsc is not installed')
    await using pod = await cri.pod({}, 'runsc')
    const mounts = [{ containerPath: '/d', hostPath: cri.node.world.pods, readonly: true, recursiveReadOnly: true }]
    await failsWith('failed_precondition', pod.create({ mounts }), /RROUnsupported/)
  })

  it('missing sources become directories, links of the host are followed, a source below a file is refused', async () => {
    const base = join(cri.node.world.pods, cri.unique('sources-'))
    mkdirSync(join(base, 'real'), { recursive: true })
    writeFileSync(join(base, 'real/file'), 'content')
    symlinkSync('real', join(base, 'link'))
    symlinkSync('real/file', join(base, 'file-link'))
    symlinkSync('nowhere/deep', join(base, 'dangling'))
    await using pod = await cri.pod()
    const container = await pod.run({
      mounts: [
        { containerPath: '/new', hostPath: join(base, 'a/b/c') },
        { containerPath: '/link', hostPath: join(base, 'link') },
        { containerPath: '/file', hostPath: join(base, 'file-link') },
      ],
    })
    assert.equal(await container.sh('touch /new/x; cat /link/file /file'), 'contentcontent')
    assert.deepEqual(readdirSync(join(base, 'a/b/c')), ['x'])
    const create = (name: string) => pod.create({ mounts: [{ containerPath: '/x', hostPath: join(base, name) }] })
    await failsWith('failed_precondition', create('real/file/below'), /real\/file/)
    await failsWith('failed_precondition', create('dangling'), /dangling/)
  })

  it('an image as a volume: a part of it, never changed, told by its id even when its name means another', async () => {
    const push = (body: string) =>
      pushImage(cri, 'isolation/volume', {
        layers: [
          [
            { path: 'data', type: 'directory' },
            { path: 'data/file', body },
          ],
        ],
      })
    const image = await push('one')
    const idOf = async () => (await cri.image.imageStatus({ image: { image } })).image?.id
    const first = await idOf()
    await using pod = await cri.pod()
    const volume = { image: { image }, readonly: true }
    const container = await pod.run({
      mounts: [
        { containerPath: '/all', ...volume },
        { containerPath: '/part', ...volume, imageSubPath: 'data', mountOptions: ['noexec'] },
      ],
      linux: admin,
    })
    assert.equal(await container.sh('cat /all/data/file /part/file'), 'oneone')
    assert.notEqual((await container.exec(['sh', '-c', 'echo x > /part/file'])).exitCode, 0)
    assert.match(await container.sh('grep " /part " /proc/self/mountinfo'), / ro,.*noexec/)
    // Whoever may remount writes into a layer of their own.
    await container.exec(['sh', '-c', 'mount -o remount,bind,rw /all && echo x > /all/data/file'])
    const other = await pod.run({ mounts: [{ containerPath: '/all', ...volume }] })
    assert.equal(await other.sh('cat /all/data/file'), 'one')
    await push('two')
    assert.notEqual(await idOf(), first)
    for (const { image: told } of (await container.status()).mounts)
      assert.deepEqual([told?.image, told?.imageRef, told?.userSpecifiedImage], [first, first, image])
    const create = (change: object) => pod.create({ mounts: [{ containerPath: '/x', ...volume, ...change }] })
    await failsWith('not_found', create({ imageSubPath: 'nowhere' }), /ImageVolumeMountFailed.*nowhere/)
    await failsWith('not_found', create({ image: { image: 'registry.invalid/none:1' } }), /ImageVolumeMountFailed/)
    await failsWith('invalid_argument', create({ readonly: false }), /ImageVolumeMountFailed.*readonly/)
    await failsWith('invalid_argument', create({ imageSubPath: '../x' }), /image_sub_path/)
  })
})
