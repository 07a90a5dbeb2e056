// The store seen from outside: `coracle store check` and `coracle df` on a daemon with a container that runs.
import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { codeOf } from '@coracle/base/errors'
import { run } from '@coracle/testkit/program'
import { criSuite } from '../cri/suite.ts'

const program = fileURLToPath(new URL('../../bin/coracle', import.meta.url))

criSuite('store', (cri) => {
  const coracle = (...args: readonly string[]) => run([program, '-r', `unix://${cri.node.world.socket}`, ...args], 120_000)
  const images = (...parts: readonly string[]) => join(cri.node.world.root, 'images', ...parts)
  /** The layer that has busybox. */
  const busybox = (): string => {
    const found = readdirSync(images('layers')).map((layer) => images('layers', layer, 'bin/busybox'))
    const path = found.find((each) => lstatSync(each, { throwIfNoEntry: false })?.isFile())
    assert.ok(path)
    return path
  }

  it('check: nothing is wrong with a store in use', async () => {
    await using pod = await cri.pod()
    await pod.run()
    const { exitCode, stdout } = await coracle('store', 'check', '--deep')
    assert.equal(exitCode, 0, stdout)
    assert.match(stdout, /\d+ images, \d+ layers, \d+ files checked, .* read\nnothing is wrong/)
  })

  it('check --repair: damage is found, no container is made on it, it is pulled again, containers run on', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    const path = busybox()
    const { size, mtimeMs } = statSync(path)
    mkdirSync(images('layers/zzzz'))
    truncateSync(path, size - 1)
    utimesSync(path, mtimeMs / 1000, mtimeMs / 1000)
    const found = await coracle('store', 'check')
    assert.equal(found.exitCode, 1)
    assert.match(found.stdout, new RegExp(`"bin/busybox" has ${size - 1} bytes, expected ${size}\n.*image sha256:`, 's'))
    assert.match(found.stdout, new RegExp(`used by containers .*${container.id}`))
    assert.match(found.stdout, /orphan .*zzzz/)
    assert.match(found.stdout, /2 findings, 2 left/)
    await assert.rejects(pod.create(), (err) => codeOf(err) === 'data_loss')
    // kubelet then pulls it, which mends it too.
    assert.equal((await cri.image.imageStatus({ image: { image: cri.images.busybox } })).image, undefined)
    assert.ok((await cri.image.listImages({})).images.some(({ repoTags }) => repoTags.includes(cri.images.busybox)))
    const asJson = await coracle('store', 'check', '-o', 'json')
    assert.equal(JSON.parse(asJson.stdout).at(-1).summary.left, '2')
    const mended = await coracle('store', 'check', '--repair')
    assert.equal(mended.exitCode, 0, mended.stdout)
    assert.match(mended.stdout, /: mended\n.*containers that run keep the damaged copy/s)
    assert.ok((await container.status()).state)
    await using another = await cri.pod()
    const fresh = await another.run()
    assert.equal(await fresh.sh('echo whole'), 'whole')
    assert.equal((await coracle('store', 'check', '--deep')).exitCode, 0)
  })

  it('check says what it expects', async () => {
    const { exitCode, stderr } = await coracle('store', 'mend')
    assert.deepEqual([exitCode, /expected store check/.test(stderr)], [2, true])
  })

  it('df explains every byte: its parts are what du says of the root', async () => {
    await cri.image.pullImage({ image: { image: cri.images.big } })
    await using pod = await cri.pod()
    const container = await pod.run()
    await container.sh('dd if=/dev/zero of=/data bs=1M count=3')
    mkdirSync(images('layers/zzz'))
    writeFileSync(images('layers/zzz/orphan'), Buffer.alloc(2_000_000))
    const { exitCode, stdout } = await coracle('df', '-o', 'json')
    assert.equal(exitCode, 0)
    const usage = JSON.parse(stdout)
    const bytes = (items: readonly { usedBytes: string }[]) => items.reduce((sum, item) => sum + Number(item.usedBytes), 0)
    const sum = bytes(usage.layers) + bytes(usage.containers) + bytes(usage.parts)
    const root = cri.node.world.root
    const du = await run(['/usr/bin/du', '-sx', '--block-size=1', root], 60_000)
    const whole = Number(du.stdout.split('\t')[0])
    // What is missing are the directories around the parts: root, images, layers, containers, staging, trees' own are parts.
    const around = [root, images(), images('layers'), images('containers'), images('staging')]
    const directories = around.reduce((total, path) => total + statSync(path).blocks * 512, 0)
    // The journals of the databases grow meanwhile.
    assert.ok(Math.abs(whole - sum - directories) <= 256 * 1024, `${whole} by du, ${sum} + ${directories} explained`)
    const mine = usage.containers.find(({ key }: { key: string }) => key === container.id)
    assert.ok(Number(mine.usedBytes) >= 3 * 1024 * 1024 && mine.state === 'running' && mine.name !== '')
    const orphan = usage.parts.find(({ kind }: { kind: string }) => kind === 'orphan')
    assert.ok(orphan.path.endsWith('/zzz') && Number(orphan.usedBytes) >= 2_000_000)
    const big = usage.images.find(({ names }: { names: string[] }) => names?.includes(cri.images.big))
    assert.ok(Number(big.uniqueBytes) > 10_000_000)
    const [used] = usage.layers.filter(({ containers }: { containers?: string[] }) => containers?.includes(container.id))
    assert.notEqual(used.reclaimable, true)
    const table = await coracle('df', '-v')
    assert.match(table.stdout, /^Images +\d+ +1 /m)
    assert.match(table.stdout, /^orphan +2\.\d+MB +2 .*zzz$/m)
    rmSync(images('layers/zzz'), { recursive: true })
  })
})
