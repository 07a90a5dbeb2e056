// Mounts that only the kernel can vouch for: propagation, recursive read-only, options that bind.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import type { SourceFacts } from '../src/spec-input.ts'
import { type ContainerInit, container, host } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

/** A tmpfs of the host with a tmpfs below it, shared; unmounted at the end of the scope. */
async function sharedTree(directory: string) {
  const path = join(directory, 'tree')
  mkdirSync(path)
  const mount = async (...args: string[]) => {
    const output = await run(['/bin/mount', ...args])
    assert.equal(output.exitCode, 0, output.stderr)
  }
  await mount('-t', 'tmpfs', 'tree', path)
  await mount('--make-shared', path)
  mkdirSync(join(path, 'below'))
  await mount('-t', 'tmpfs', 'below', join(path, 'below'))
  writeFileSync(join(path, 'below/file'), 'x')
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run(['/bin/umount', '-R', path])
    },
  }
}

for (const runtime of ['/usr/bin/crun', '/usr/sbin/runc']) {
  describe(`mounts under ${runtime}`, needsRoot(), () => {
    async function withMount(
      mount: Omit<NonNullable<ContainerInit['mounts']>[number], '$typeName'>,
      script: string,
      propagation: SourceFacts['propagation'] = 'shared',
    ) {
      await using sandbox = await Sandbox.create()
      await using tree = await sharedTree(sandbox.directory)
      const config = container({
        command: ['/bin/sh', '-c', script],
        mounts: [{ containerPath: '/data', hostPath: tree.path, ...mount }],
        linux: { securityContext: { capabilities: { addCapabilities: ['SYS_ADMIN'] } } },
      })
      const sources = new Map([[tree.path, { type: 'directory', propagation } as const]])
      const output = await sandbox.run(runtime, { config, sources, host: { ...host, recursiveReadOnly: true } })
      return { output, onHost: existsSync(join(tree.path, 'new/mark')) }
    }
    const mountInside = 'mkdir /data/new && mount -t tmpfs x /data/new && touch /data/new/mark && echo done'

    test('H-50: what is mounted inside is seen on the host with BIDIRECTIONAL only', async () => {
      for (const [propagation, seen] of [
        [2, true],
        [1, false],
        [0, false],
      ] as const) {
        const { output, onHost } = await withMount({ propagation }, mountInside)
        assert.equal(output.stdout, 'done\n', output.stderr)
        assert.equal(onHost, seen, `propagation ${propagation}`)
      }
    })
    test('H-50: the mount’s own mark', async () => {
      for (const [propagation, mark] of [
        [2, / shared:/],
        [1, / master:/],
      ] as const) {
        const { output } = await withMount({ propagation }, 'grep " /data " /proc/self/mountinfo')
        assert.match(output.stdout, mark, output.stderr)
      }
      const { output } = await withMount({ propagation: 0 }, 'grep " /data " /proc/self/mountinfo')
      assert.doesNotMatch(output.stdout, /shared:|master:/)
    })
    test('H-51: recursive read-only reaches what is mounted below, plain read-only does not', async () => {
      const script = '(touch /data/x) 2>&1; (touch /data/below/x) 2>&1; cat /data/below/file'
      const recursive = await withMount({ readonly: true, recursiveReadOnly: true }, script)
      assert.equal(recursive.output.stdout.match(/Read-only/g)?.length, 2, recursive.output.stderr + recursive.output.stdout)
      const plain = await withMount({ readonly: true }, script)
      assert.equal(plain.output.stdout.match(/Read-only/g)?.length, 1)
    })
    test('mount_options are enforced', async () => {
      const script = 'cat /bin/busybox > /data/b; chmod 755 /data/b; /data/b true 2>&1; grep " /data " /proc/self/mountinfo'
      const { output } = await withMount({ mountOptions: ['noexec', 'nodev', 'nosuid'] }, script)
      assert.match(output.stdout, /nosuid,nodev,noexec/)
      assert.match(output.stdout, /ermission denied/, output.stderr)
    })
  })
}
