// The init of a shared PID namespace, processes exec'ed into a container, user namespaces.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run, startProgram } from '@coracle/testkit/program'
import { infraSpec } from '../src/infra.ts'
import { execProcess } from '../src/process.ts'
import { createSpec } from '../src/spec.ts'
import { container, host } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

/** A container that stays, until its scope ends. */
async function running(sandbox: Sandbox, runtime: string, id: string, spec: RuntimeSpec) {
  const bundle = join(sandbox.directory, id)
  mkdirSync(bundle)
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec))
  const state = join(sandbox.directory, 'state')
  const pidFile = join(bundle, 'pid')
  const logPath = join(bundle, 'log')
  const program = await startProgram({
    argv: [runtime, '--root', state, 'run', '--pid-file', pidFile, '--bundle', bundle, id],
    logPath,
  })
  for (let i = 0; !existsSync(pidFile) || readFileSync(pidFile, 'utf8') === ''; i++) {
    assert.ok(i < 200 && program.running(), readFileSync(logPath, 'utf8'))
    await sleep(25)
  }
  return {
    pid: Number(readFileSync(pidFile, 'utf8')),
    exec: (process: unknown) => {
      const file = join(bundle, 'process.json')
      writeFileSync(file, JSON.stringify(process))
      return run([runtime, '--root', state, 'exec', '--process', file, id])
    },
    async [Symbol.asyncDispose]() {
      await run([runtime, '--root', state, 'kill', id, 'KILL'])
      await program.exited
      await run([runtime, '--root', state, 'delete', '--force', id])
    },
  }
}

const statusOf = (pid: number | string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .map((line) => line.split(/:\s*/) as [string, string]),
  )

for (const runtime of ['/usr/bin/crun', '/usr/sbin/runc']) {
  const compiledSeccomp = runtime.endsWith('/crun')
  describe(`long-lived containers under ${runtime}`, needsRoot(), () => {
    test('the infra init holds a PID namespace that containers join, and owns nothing', async () => {
      await using sandbox = await Sandbox.create()
      const rootfsPath = join(sandbox.directory, 'empty')
      mkdirSync(rootfsPath)
      const id = `infra-${process.pid}`
      const spec = infraSpec({ id, pod: sandbox.pod, host, rootfsPath, initProgram: '/usr/bin/catatonit', compiledSeccomp })
      await using infra = await running(sandbox, runtime, id, spec)
      // The runtime's own init is there first; the program follows.
      while (statusOf(infra.pid)['Name'] !== 'catatonit' && statusOf(infra.pid)['Name'] !== 'init') await sleep(10)
      const status = statusOf(infra.pid)
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.equal(status[set], '0000000000000000', set)
      assert.deepEqual([status['NoNewPrivs'], status['Seccomp'], status['Uid']], ['1', '2', '65535\t65535\t65535\t65535'])
      const own = readlinkSync(`/proc/${infra.pid}/ns/pid`)
      assert.notEqual(own, readlinkSync('/proc/self/ns/pid'))
      const config = container({
        command: ['/bin/sh', '-c', 'readlink /proc/self/ns/pid; cat /proc/1/comm; kill -9 1; echo $$'],
        linux: { securityContext: { namespaceOptions: { pid: 0 } } },
      })
      const output = await sandbox.run(runtime, { config, pod: { ...sandbox.pod, pidnsPath: `/proc/${infra.pid}/ns/pid` } })
      const [joined, init, pid] = output.stdout.split('\n')
      assert.equal(joined, own, output.stderr)
      assert.match(init ?? '', /init|catatonit/)
      assert.notEqual(pid, '1')
      assert.equal(readlinkSync(`/proc/${infra.pid}/ns/pid`), own)
    })

    test('I12: what is exec’ed has the container’s own groups, capabilities, limits, filter and no_new_privs', async () => {
      await using sandbox = await Sandbox.create()
      const config = container({
        command: ['/bin/sleep', '60'],
        linux: {
          securityContext: {
            runAsUser: { value: 1000n },
            supplementalGroups: [42n],
            noNewPrivs: true,
            capabilities: { dropCapabilities: ['ALL'], addAmbientCapabilities: ['NET_BIND_SERVICE'] },
          },
        },
      })
      const input = sandbox.input({ config, compiledSeccomp })
      const { spec } = createSpec(input)
      await using made = await running(sandbox, runtime, input.id, spec)
      const output = await made.exec(execProcess(spec.process, { args: ['/bin/cat', '/proc/self/status'], terminal: false }))
      assert.equal(output.exitCode, 0, output.stderr)
      const inside = Object.fromEntries(output.stdout.split('\n').map((line) => line.split(/:\s*/) as [string, string]))
      const init = statusOf(made.pid)
      for (const field of ['Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'])
        assert.equal(inside[field]?.trim(), init[field]?.trim(), field)
      assert.equal(inside['CapEff'], '0000000000000400')
      const fds = await made.exec(execProcess(spec.process, { args: ['/bin/ls', '/proc/self/fd'], terminal: false }))
      assert.equal(fds.stdout.trim().split('\n').join(' '), '0 1 2 3')
    })
  })
}
