// H 3.4: a volume whose server is gone. What hangs in the kernel is not the daemon, is bounded in time, told, and over when the server is back.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { failsWith } from '../cri/expect.ts'
import { criSuite } from '../cri/suite.ts'
import { deadServer } from './dead-server.ts'

/** The kernel's function in which a request waits for its server. */
const waits = (path: string): boolean => existsSync(path) && readFileSync(`${path}/wchan`, 'utf8') === 'request_wait_answer'

const hungThreads = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/task`).filter((task) => waits(`/proc/${pid}/task/${task}`))

const config = '[limits]\nprobe_timeout_s = 4\nruntime_timeout_s = 15\n'

criSuite(
  'a hung file system',
  (cri) => {
    const stuck = async (): Promise<number> => {
      const { info } = await cri.runtime.status({ verbose: true })
      // What status.ts writes.
      return (JSON.parse(info['state'] ?? '') as { stuckPrograms: number }).stuckPrograms
    }
    const othersWork = async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.equal(await container.sh('echo alive'), 'alive')
      assert.deepEqual(hungThreads(cri.node.pid()), [])
    }

    it('as a source: a clear error in time; other pods work; what hangs is counted, and gone with the server', async () => {
      await using volume = await deadServer(cri)
      await using pod = await cri.pod()
      const mounts = [{ containerPath: '/data', hostPath: volume.file }]
      const good = await pod.run({ mounts })
      assert.equal(await good.sh('cat /data'), 'alive')
      await volume.hang()
      const tries = Array.from({ length: 6 }, () =>
        failsWith('deadline_exceeded', pod.create({ mounts }), /look at ".*file": no answer within 4000 ms/),
      )
      await othersWork()
      await Promise.all(tries)
      assert.equal(await stuck(), 6)
      await othersWork()
      await volume.end()
      await eventually('nothing hangs any more', async () => (await stuck()) === 0)
      // The kernel says at once that nobody is there now.
      await failsWith('failed_precondition', pod.create({ mounts }), /not connected/)
    })

    it('that hangs between the look at a source and its opening: the same', async () => {
      await using volume = await deadServer(cri)
      await using pod = await cri.pod()
      await volume.hang(2)
      const mounts = [{ containerPath: '/data', hostPath: volume.file }]
      const tried = failsWith('deadline_exceeded', pod.create({ mounts }), /look at ".*file": no answer within 4000 ms/)
      await Promise.all([tried, othersWork()])
      await othersWork()
    })

    for (const handler of ['crun', 'runc'])
      describe(handler, () => {
        it('that hangs when the runtime mounts it: the create ends in time', async () => {
          await using volume = await deadServer(cri)
          await using pod = await cri.pod({}, handler)
          const mounts = [{ containerPath: '/data', hostPath: volume.file }]
          // A lookup and its attributes, and the lookup of the open: just enough for ourselves.
          await volume.hang(3)
          const create = pod.create({ mounts })
          // crun 1.8 does not look at the source that it mounts.
          if (handler === 'crun') await Promise.all([create, othersWork()])
          else await Promise.all([failsWith('deadline_exceeded', create, new RegExp(`${handler} create`)), othersWork()])
          await volume.end()
          const container = await pod.run()
          assert.equal(await container.sh('echo alive'), 'alive')
        })

        it('that hangs a container: its stop says so in time and succeeds once the server is gone', async () => {
          await using volume = await deadServer(cri)
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({
            mounts: [{ containerPath: '/data', hostPath: volume.path }],
            command: ['sh', '-c', 'while test ! -e /go; do sleep 0.1; done; cat /data/file'],
          })
          await volume.hang()
          await container.sh('touch /go')
          await eventually('its program hangs', async () => hungIn(container.id))
          const stop = cri.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: 3000 })
          assert.equal(
            codeOf(
              await stop.then(
                () => undefined,
                (err: unknown) => err,
              ),
            ),
            'deadline_exceeded',
          )
          await othersWork()
          assert.ok((await cri.runtime.listContainers({})).containers.some(({ id }) => id === container.id))
          await volume.end()
          await pod.stop()
        })
      })
  },
  { config },
)

/** Whether a process of the container's cgroup waits for the server. */
function hungIn(id: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id) && waits(`/proc/${pid}`)
    } catch {
      return false
    }
  })
}
