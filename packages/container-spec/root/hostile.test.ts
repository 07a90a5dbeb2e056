// Root file systems made to lead the runtime out of them. The oracle: a directory of the host and the host's own /dev stay as they were.
import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import { createSpec } from '../src/spec.ts'
import { container } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

interface Trap {
  readonly set: (rootfs: string, canary: string) => void
  /** What the container may print when it runs at all. */
  readonly refused?: true
}

const up = '../'.repeat(10)
const replace = (path: string, target: string): void => {
  rmSync(path, { recursive: true, force: true })
  symlinkSync(target, path)
}

const traps: Readonly<Record<string, Trap>> = {
  'CVE-2026-41579: /dev is a relative link out': { set: (r, c) => replace(join(r, 'dev'), up + c), refused: true },
  'CVE-2026-41579: /dev is an absolute link': { set: (r, c) => replace(join(r, 'dev'), c), refused: true },
  'CVE-2026-41579: /dev is a link to a directory of the image': {
    set: (r) => {
      mkdirSync(join(r, 'tmp/dev'))
      replace(join(r, 'dev'), 'tmp/dev')
    },
    refused: true,
  },
  'CVE-2025-52565: /dev/console is a link': { set: (r, c) => replace(join(r, 'dev/console'), `${up}${c}/file`) },
  'CVE-2025-31133: /dev/null is a link to core_pattern': {
    set: (r) => replace(join(r, 'dev/null'), '/proc/sys/kernel/core_pattern'),
  },
  'CVE-2019-19921: /proc is a link inside': {
    set: (r) => {
      mkdirSync(join(r, 'tmp/fake'))
      replace(join(r, 'proc'), '/tmp/fake')
    },
    refused: true,
  },
  'CVE-2019-19921: /proc is a link out': { set: (r, c) => replace(join(r, 'proc'), up + c), refused: true },
  '/sys is a link out': { set: (r, c) => replace(join(r, 'sys'), up + c), refused: true },
  'CVE-2024-5154: /etc is a link out': { set: (r, c) => replace(join(r, 'etc'), up + c) },
  'CVE-2024-5154: /etc/hosts is a link to a file': { set: (r, c) => replace(join(r, 'etc/hosts'), `${up}${c}/file`) },
  'CVE-2024-5154: /etc/hosts is a link to a name': { set: (r, c) => replace(join(r, 'etc/hosts'), `${c}/new`) },
  'CVE-2024-45310: the parent of a mount is a link out': { set: (r, c) => replace(join(r, 'data'), up + c) },
  'CVE-2026-55686: the working directory lies behind a link out': { set: (r, c) => replace(join(r, 'work'), up + c) },
}

// What lifecycle does with CreatedSpec.mustBeDirectories, on the one component below the root that each of them is.
const isDirectoryOrAbsent = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true

const hostState = async (canary: string): Promise<string> => {
  const files = await run(['/usr/bin/find', canary, '-printf', '%p %y %m %s %u %T@\\n'])
  const devices = await run(['/usr/bin/find', '/dev', '-maxdepth', '1', '-printf', '%p %y %m %i\\n'])
  return `${files.stdout}${devices.stdout}${readFileSync('/proc/sys/kernel/core_pattern', 'utf8')}`
}

for (const runtime of ['/usr/bin/crun', '/usr/sbin/runc']) {
  describe(`hostile root file systems under ${runtime}`, needsRoot(), () => {
    for (const [name, trap] of Object.entries(traps))
      test(name, async () => {
        await using sandbox = await Sandbox.create()
        const canary = makeOwnDirectory('coracle-canary-')
        try {
          writeFileSync(join(canary, 'file'), 'canary')
          const before = await hostState(canary)
          trap.set(sandbox.rootfs, canary)
          const shm = sandbox.pod.shmPath
          const script = 'stat -f -c %T /proc /dev; cat /data/x/file /etc/hosts 2>/dev/null; ls /srv/x; echo done'
          const input = sandbox.input({
            config: container({
              command: ['/bin/sh', '-c', script],
              workingDir: '/srv/x',
              mounts: [{ containerPath: '/data/x', hostPath: shm }],
            }),
            sources: new Map([[shm, { type: 'directory', propagation: 'private' }]]),
          })
          const { spec, mustBeDirectories } = createSpec(input)
          const bad = mustBeDirectories.filter((path) => !isDirectoryOrAbsent(join(sandbox.rootfs, path)))
          assert.equal(bad.length > 0, trap.refused === true)
          if (bad.length > 0) return
          const output = await sandbox.runSpec(runtime, input.id, spec)
          assert.ok(!output.stdout.includes('canary'), output.stdout)
          if (output.exitCode === 0) assert.match(output.stdout, /^proc\ntmpfs\n/)
          assert.equal(await hostState(canary), before)
        } finally {
          rmSync(canary, { recursive: true })
        }
      })

    test('CVE-2026-41568: an absolute link of the image still works as a mount’s parent', async () => {
      await using sandbox = await Sandbox.create()
      mkdirSync(join(sandbox.rootfs, 'run'))
      mkdirSync(join(sandbox.rootfs, 'var'))
      symlinkSync('/run', join(sandbox.rootfs, 'var/run'))
      const shm = sandbox.pod.shmPath
      writeFileSync(join(shm, 'token'), 'secret')
      const output = await sandbox.run(runtime, {
        config: container({
          command: ['/bin/cat', '/run/secrets/x/token'],
          mounts: [{ containerPath: '/var/run/secrets/x', hostPath: shm, readonly: true }],
        }),
        sources: new Map([[shm, { type: 'directory', propagation: 'private' }]]),
      })
      assert.equal(output.stdout, 'secret', output.stderr)
    })
  })
}
