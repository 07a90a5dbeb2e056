// The thread that answers goes before others, and nothing that the daemon starts does.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, it } from 'node:test'
import { criSuite } from '../cri/suite.ts'

/** Fields of proc_pid_stat(5) from the third on. */
const statOf = (path: string): string[] => {
  const text = readFileSync(`${path}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}
const nice = (path: string): number => Number(statOf(path)[16])

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
    const favoured = readdirSync(`/proc/${daemon}/task`).filter((task) => nice(`/proc/${daemon}/task/${task}`) < 0)
    assert.deepEqual(favoured, [String(daemon)])
  })
})
