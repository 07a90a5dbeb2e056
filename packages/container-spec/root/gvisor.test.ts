// The same specs under gVisor, whose own kernel answers: what its Sentry enforces itself is left out here (seccomp, masks, cgroups of v1).
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import { createSpec } from '../src/spec.ts'
import { container } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

describe('specs run under runsc', needsRoot(), () => {
  test('user, groups, capabilities, environment, mounts', async () => {
    await using sandbox = await Sandbox.create()
    const config = container({
      command: [
        '/bin/sh',
        '-c',
        'grep -E "^(Uid|Groups|Cap)" /proc/self/status; echo $A; pwd; cat /etc/hosts; (echo x > /etc/hosts) 2>&1',
      ],
      envs: [{ key: 'A', value: Buffer.from('b') }],
      workingDir: '/tmp',
      linux: {
        securityContext: { runAsUser: { value: 1000n }, supplementalGroups: [5n], capabilities: { dropCapabilities: ['ALL'] } },
      },
    })
    const input = sandbox.input({ config })
    const bundle = join(sandbox.directory, 'b')
    mkdirSync(bundle)
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(createSpec(input).spec))
    const root = join(sandbox.directory, 'state')
    // ptrace needs no KVM and no newer gVisor than Debian's.
    const argv = [
      '/usr/bin/runsc',
      '--root',
      root,
      '--platform=ptrace',
      '--network=none',
      'run',
      '--bundle',
      bundle,
      input.id,
    ] as const
    const output = await run([...argv], 60_000)
    const text = output.stdout
    assert.match(text, /Uid:\s+1000\s+1000/, output.stderr)
    assert.match(text, /Groups:\s+0 5/)
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd']) assert.match(text, new RegExp(`Cap${set}:\\s+0000000000000000`))
    assert.match(text, /\nb\n\/tmp\nhosts of the pod\n/)
  })
})
