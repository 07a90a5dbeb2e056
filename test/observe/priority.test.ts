// The thread that answers goes before others, and nothing that the daemon starts does.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { afterEach, it } from 'node:test'
import { criSuite } from '../cri/suite.ts'

/** Fields of proc_pid_stat(5) from the third on. */
const statOf = (path: string): string[] => {
  const text = readFileSync(`${path}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}
const nice = (path: string): number => Number(statOf(path)[16])
/** Undefined where the kernel does not tell. */
const sliceNs = (path: string): number | undefined => {
  const slice = existsSync(`${path}/sched`)
    ? /^se\.slice\s*:\s*(\d+)/m.exec(readFileSync(`${path}/sched`, 'utf8'))?.[1]
    : undefined
  return slice === undefined ? undefined : Number(slice)
}

criSuite('priority', (cri) => {
  afterEach(() => cri.node.clear())

  it('is that of the main thread alone', async () => {
    const daemon = cri.node.pid()
    assert.equal(nice(`/proc/${daemon}`), -10)
    const others = readdirSync(`/proc/${daemon}/task`).filter((task) => task !== String(daemon))
    assert.ok(others.length > 0)
    await using pod = await cri.pod()
    const container = await pod.run({ command: ['sleep', '1000'] })
    assert.equal(await container.sh("cut -d' ' -f19 /proc/self/stat"), '0', 'of an exec')
    const { info } = await cri.runtime.containerStatus({ containerId: container.id, verbose: true })
    const { pid, monitorPid } = JSON.parse(info['info'] ?? '') as { pid: number; monitorPid: number }
    assert.equal(nice(`/proc/${pid}`), 0, 'of the container')
    assert.equal(nice(`/proc/${monitorPid}`), 0, 'of its monitor')
    const usualNs = sliceNs('/proc/self')
    for (const other of [pid, monitorPid, ...others]) assert.equal(sliceNs(`/proc/${other}`), usualNs, `slice of ${other}`)
    const [major = 0, minor = 0] = release().split('.').map(Number)
    if (usualNs !== undefined && (major > 6 || (major === 6 && minor >= 12)))
      assert.equal(sliceNs(`/proc/${daemon}`), 200_000, 'slice of the daemon')
    const favoured = readdirSync(`/proc/${daemon}/task`).filter((task) => nice(`/proc/${daemon}/task/${task}`) < 0)
    assert.deepEqual(favoured, [String(daemon)])
  })
})
