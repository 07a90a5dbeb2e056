// ExecSync: output, exit codes, the timeout that kills the whole tree, caps on output, processes that keep the output open.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { eventually } from '@coracle/testkit/eventually'
import { needs } from './differences.ts'
import { elapsedMs, failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

const UNKNOWN_ID = '0123456789abcdef'.repeat(4)
const MIB = 1 << 20

criSuite('ExecSync', (cri) => {
  before(() => cri.image.pullImage({ image: { image: cri.images.userName } }))

  it('gives stdout, stderr and the exit code; a non-zero one is no error', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    const result = await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 42'])
    assert.deepEqual(result, { stdout: 'out\n', stderr: 'err\n', exitCode: 42 })
  })

  it('a timeout of 0 is none', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    assert.equal((await container.exec(['sh', '-c', 'sleep 1; echo slow'], 0)).stdout, 'slow\n')
  })

  it("has the container's environment, directory and user", async () => {
    await using pod = await cri.pod()
    const envs = [{ key: 'MINE', value: Buffer.from('yes') }]
    const container = await pod.run({ image: { image: cri.images.userName }, envs, workingDir: '/tmp' })
    assert.equal(await container.sh('echo $MINE $(pwd) $(id -u):$(id -g)'), 'yes /tmp 1234:1235')
  })

  it('passes arguments unchanged and starts no shell', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    assert.equal((await container.exec(['echo', '$HOME', 'a  b', '*', ''])).stdout, '$HOME a  b * \n')
  })

  it('has an empty stdin', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    assert.deepEqual(await container.exec(['cat']), { stdout: '', stderr: '', exitCode: 0 })
  })

  it('keeps bytes as they are', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    const { stdout } = await cri.runtime.execSync({ containerId: container.id, cmd: ['printf', '\\377\\000\\n'], timeout: 10n })
    assert.deepEqual(Buffer.from(stdout), Buffer.from([0xff, 0x00, 0x0a]))
  })

  it('a program that is not there is an error or exit code 126 or 127', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    const outcome = await container.exec(['/no/such']).then(
      ({ exitCode }) => exitCode,
      (err: Error) => err,
    )
    if (typeof outcome === 'number') assert.ok([126, 127].includes(outcome))
    else assert.match(outcome.message, /no such file|not found/i)
  })

  describe('timeout', () => {
    it('is DeadlineExceeded, in time, and the process is gone', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const took = await elapsedMs(() => failsWith('deadline_exceeded', container.exec(['sleep', '76542'], 1)))
      assert.ok(took >= 900 && took < 5_000, `${took} ms`)
      await eventually('it is gone', async () => !(await container.sh('ps')).includes('sleep 76542'), { timeoutMs: 2_000 })
    })

    it('ends the whole process tree', needs('execDrain'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const script = 'trap "" TERM HUP; sh -c "sleep 76543" & sleep 76543'
      const took = await elapsedMs(() => failsWith('deadline_exceeded', container.exec(['sh', '-c', script], 1)))
      assert.ok(took >= 900 && took < 5_000, `${took} ms`)
      await eventually('they are gone', async () => !(await container.sh('ps')).includes('sleep 76543'), { timeoutMs: 2_000 })
    })

    it('leaves the container and the next exec alone', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await failsWith('deadline_exceeded', container.exec(['sleep', '100'], 1))
      assert.equal(await container.sh('echo alive'), 'alive')
    })

    it("a caller's own deadline ends the process too", async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const request = { containerId: container.id, cmd: ['sleep', '65432'], timeout: 0n }
      await failsWith('deadline_exceeded', cri.runtime.execSync(request, { timeoutMs: 700 }))
      await eventually('it is gone', async () => !(await container.sh('ps')).includes('sleep 65432'))
    })
  })

  describe('output', () => {
    it('of a megabyte comes whole', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const { stdout } = await container.exec(['sh', '-c', `head -c ${MIB} /dev/zero | tr '\\0' z`])
      assert.equal(stdout.length, MIB)
    })

    it('is cut at 16 MiB for each stream, and the process not held up', needs('execCaps'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const script = `head -c ${20 * MIB} /dev/zero | tr '\\0' z; head -c ${20 * MIB} /dev/zero | tr '\\0' e >&2; exit 5`
      const { stdout, stderr, exitCode } = await container.exec(['sh', '-c', script], 60)
      assert.equal(exitCode, 5)
      // All of it must fit a message of 16 MiB, which is what kubelet takes.
      for (const stream of [stdout, stderr]) assert.ok(stream.length <= 16 * MIB, `${stream.length} bytes`)
      assert.match(stdout.slice(0, 1000), /^z+$/)
      assert.ok(stdout.length + stderr.length >= 8 * MIB)
    })

    it('held open by a process left behind does not hold up the answer', needs('execDrain'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const took = await elapsedMs(async () => {
        const { stdout, exitCode } = await container.exec(['sh', '-c', 'sleep 60 & echo done'], 50)
        assert.equal(stdout, 'done\n')
        assert.equal(exitCode, 0)
      })
      assert.ok(took < 30_000, `${took} ms`)
    })
  })

  it('runs side by side', async () => {
    await using pod = await cri.pod()
    const container = await pod.run()
    const results = await Promise.all(Array.from({ length: 10 }, (_, n) => container.exec(['echo', String(n)])))
    assert.deepEqual(
      results.map(({ stdout }) => stdout.trim()),
      Array.from({ length: 10 }, (_, n) => String(n)),
    )
  })

  describe('refusals', () => {
    it('NotFound for an unknown container', async () => {
      await failsWith('not_found', cri.runtime.execSync({ containerId: UNKNOWN_ID, cmd: ['true'], timeout: 1n }))
    })

    it('for one that is created and one that has ended', async () => {
      await using pod = await cri.pod()
      const created = await pod.create()
      await assert.rejects(created.exec(['true']))
      const ended = await pod.run({ command: ['true'] })
      await ended.exited()
      await assert.rejects(ended.exec(['true']))
    })

    it('with failed_precondition', needs('notRunningCode'), async () => {
      await using pod = await cri.pod()
      const created = await pod.create()
      await failsWith('failed_precondition', created.exec(['true']), /running/)
    })
  })
})
