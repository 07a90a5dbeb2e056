// The escape kit: images made to lead the daemon or the OCI runtime out of them (CVE numbers name the rows of docs/isolation.md).
// Either the container is refused, or it runs inside; the canary outside must stay as it was, and its text must not be seen.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ContainerState } from '@coracle/cri-api'
import type { TarEntry } from '@coracle/testkit/tar'
import { failsWith } from '../cri/expect.ts'
import { Canary, canaryText } from './canary.ts'
import { type Bed, type ContainerInit, isolationSuite, pushImage } from './suite.ts'

interface Trap {
  readonly layer: (canary: Canary) => readonly TarEntry[]
  readonly config?: (canary: Canary) => Readonly<Record<string, unknown>>
  readonly container?: ContainerInit
  /** The request must be refused, with these words. */
  readonly refused?: RegExp
}

const link = (path: string, target: string): TarEntry => ({ path, type: 'symlink', link: target })
const own = { namespaceOptions: { pid: 1 } } as const
const security = (more: object): ContainerInit => ({ linux: { securityContext: { ...own, ...more } } }) as ContainerInit

const traps: Readonly<Record<string, Trap>> = {
  'CVE-2026-41579 CVE-2026-47766 CVE-2026-88264 CVE-2026-88265: /dev is a link out': {
    layer: ({ upwards }) => [link('dev', upwards)],
    refused: /\/dev must be a directory/,
  },
  'CVE-2026-41579: /dev is a link to the node’s': {
    layer: () => [link('dev', `${'../'.repeat(12)}dev`)],
    refused: /\/dev must be a directory/,
  },
  'CVE-2025-52565: /dev/console and /dev/ptmx are links, with a terminal': {
    layer: ({ upwards, directory }) => [link('dev/console', `${upwards}/file`), link('dev/ptmx', `${directory}/new`)],
    container: { tty: true },
  },
  'CVE-2025-52565: /dev/pts is a link': { layer: ({ upwards }) => [link('dev/pts', upwards)], container: { tty: true } },
  'CVE-2025-31133: /dev/null is a link to core_pattern': { layer: () => [link('dev/null', '/proc/sys/kernel/core_pattern')] },
  'CVE-2019-19921 CVE-2023-27561 CVE-2023-28642: /proc is a link': {
    layer: () => [{ path: 'tmp/fake', type: 'directory' }, link('proc', '/tmp/fake')],
    refused: /\/proc must be a directory/,
  },
  'CVE-2019-16884: volumes over /proc and /sys': {
    layer: () => [],
    config: () => ({ Volumes: { '/proc': {}, '/sys/fs/cgroup': {}, '/proc/self/attr': {} } }),
    container: security({ readonlyRootfs: true }),
  },
  'CVE-2022-23648: a volume whose path leads out': {
    layer: ({ directory }) => [link('link', directory)],
    config: ({ upwards }) => ({ Volumes: { [`/${upwards}`]: {}, '/link': {}, '/link/sub': {} } }),
    container: security({ readonlyRootfs: true }),
  },
  'CVE-2024-5154: /etc is a link out': { layer: ({ upwards }) => [link('etc', upwards)] },
  'CVE-2024-5154: files of /etc are links out': {
    layer: ({ upwards, directory }) => [
      ...['hosts', 'hostname', 'mtab'].map((name) => link(`etc/${name}`, `${upwards}/file`)),
      link('etc/resolv.conf', `${directory}/new`),
    ],
  },
  'CVE-2026-55686: the working directory lies behind a link out': {
    layer: ({ upwards }) => [link('work', upwards)],
    config: () => ({ WorkingDir: '/srv/x' }),
  },
  'CVE-2026-55686: the working directory has dots': {
    layer: () => [],
    config: ({ upwards }) => ({ WorkingDir: `/a/${upwards}/x` }),
  },
  'CVE-2024-21626: the working directory is a descriptor of the runtime’s': {
    layer: () => [],
    config: () => ({ WorkingDir: '/proc/self/fd/8' }),
    refused: /\/proc\/self\/fd\/8/,
  },
  'CVE-2019-14271 CVE-2026-41567: programs and libraries for helpers that enter the root': {
    layer: ({ directory }) =>
      ['usr/bin/unpigz', 'bin/xz', 'usr/bin/zstd', 'usr/bin/gzip', 'lib/libnss_files.so.2', 'etc/nsswitch.conf'].map((path) => ({
        ...{ path, mode: 0o755 },
        body: `#!/bin/sh\necho ran > ${directory}/ran\n`,
      })),
  },
}

/** Runs until it ends or is refused; gives all it printed. */
async function spring(bed: Bed, trap: Trap, canary: Canary): Promise<string | undefined> {
  const image = await pushImage(bed.cri, `isolation/trap-${randomBytes(6).toString('hex')}`, {
    layers: [trap.layer(canary)],
    config: trap.config?.(canary) ?? {},
  })
  await using pod = await bed.pod()
  const script = `cat /*/file /etc/hosts /etc/mtab /link/file /srv/x file ${canary.directory}/file 2>/dev/null; pwd; stat -f -c %T /proc; echo done`
  const config: ContainerInit = { ...trap.container, image: { image }, command: ['sh', '-c', script] }
  if (trap.refused) {
    await failsWith(['invalid_argument', 'failed_precondition'], pod.create(config), trap.refused)
    return undefined
  }
  const container = await pod.run(config).catch(() => undefined)
  if (container === undefined) return undefined
  assert.equal((await container.exited()).state, ContainerState.CONTAINER_EXITED)
  return container.output()
}

isolationSuite('escape: images', (bed) => {
  for (const [name, trap] of Object.entries(traps))
    test(name, async () => {
      await using canary = await Canary.make(bed)
      const output = await spring(bed, trap, canary)
      if (output !== undefined) {
        assert.ok(!output.includes(canaryText), output)
        if (output.includes('done')) assert.match(output, /^proc\r?$/m)
      }
      // The next ordinary pod starts.
      await using pod = await bed.pod()
      assert.equal((await pod.shell('echo fine')).output, 'fine\n')
    })

  test('CVE-2019-19921: a mount of the request over /proc is refused', async () => {
    await using canary = await Canary.make(bed)
    await using pod = await bed.pod()
    for (const containerPath of ['/proc', '/proc/self', '/proc/sys/kernel', '/x/../proc'])
      await failsWith('invalid_argument', pod.create({ mounts: [{ containerPath, hostPath: canary.directory }] }), /proc/)
  })

  test('CVE-2018-15664 CVE-2024-11218: an absolute link of the image still works as a mount’s parent', async () => {
    await using canary = await Canary.make(bed)
    const image = await pushImage(bed.cri, `isolation/run-${bed.handler}`, {
      layers: [[{ path: 'run', type: 'directory' }, link('var/run', '/run')]],
    })
    await using pod = await bed.pod()
    const source = join(bed.cri.node.world.directory, `token-${bed.handler}`)
    mkdirSync(source, { recursive: true })
    const mounts = [{ containerPath: '/var/run/secrets/x', hostPath: source }]
    const { output } = await pod.shell('echo told > /var/run/secrets/x/y && cat /run/secrets/x/y', { image: { image }, mounts })
    assert.equal(output, 'told\n')
    assert.ok(canary)
  })

  const accounts: readonly (readonly [string, (canary: Canary) => TarEntry])[] = [
    ['a link out', ({ directory }) => link('etc/passwd', `${directory}/file`)],
    ['a link to a process’s memory', () => link('etc/passwd', '/proc/self/mem')],
    ['a FIFO', () => ({ path: 'etc/passwd', type: 'fifo' })],
    ['/dev/zero', () => ({ path: 'etc/passwd', type: 'character', device: [1, 5] })],
    ['a directory', () => ({ path: 'etc/passwd', type: 'directory' })],
    ['11 MiB', () => ({ path: 'etc/passwd', body: Buffer.alloc(11 << 20, 'x') })],
  ]
  for (const [name, entry] of accounts)
    test(`CVE-2024-9676 CVE-2024-9341 CVE-2025-4437: /etc/passwd is ${name}`, async () => {
      await using canary = await Canary.make(bed)
      const image = await pushImage(bed.cri, `isolation/accounts-${randomBytes(6).toString('hex')}`, {
        layers: [[entry(canary)]],
      })
      await using pod = await bed.pod()
      const asked = { image: { image }, ...security({ runAsUsername: 'canary' }) }
      await failsWith(['invalid_argument', 'failed_precondition', 'not_found'], pod.create(asked))
    })
})
