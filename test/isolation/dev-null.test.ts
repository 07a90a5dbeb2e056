// /dev/null of the host: runtimes hand their stdio to the user of a container, and who owns it could close it to everybody.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { it } from 'node:test'
import { NamespaceMode } from '@coracle/cri-api'
import { criSuite } from '../cri/suite.ts'
import { openExec, outcomeOf } from '../streaming/sessions.ts'

const ids = [{ containerId: 0, hostId: 1_300_000, length: 65536 }]
const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids }
const owners = () => {
  const { uid, gid, mode } = statSync('/dev/null')
  return [uid, gid, mode & 0o777]
}

for (const runtime of ['crun', 'runc']) {
  criSuite(
    `the host’s /dev/null under ${runtime}`,
    (cri) => {
      for (const userns of [false, true])
        it(`stays root’s ${userns ? 'with' : 'without'} a user namespace`, async () => {
          const namespaceOptions = { pid: NamespaceMode.CONTAINER, ...(userns ? { usernsOptions } : {}) }
          await using pod = await cri.pod({ linux: { securityContext: { namespaceOptions } } })
          const container = await pod.run({ linux: { securityContext: { namespaceOptions, runAsUser: { value: 77n } } } })
          assert.deepEqual(owners(), [0, 0, 0o666])
          await container.exec(['sh', '-c', 'chmod 0 /proc/self/fd/0; chmod 0 /dev/null'])
          assert.deepEqual(owners(), [0, 0, 0o666])
          for (const change of [{ tty: true }, { stdin: true }, { tty: true, stdin: true }]) {
            const linux = { securityContext: { namespaceOptions, runAsUser: { value: 78n } } }
            const other = await pod.run({ ...change, linux, command: ['sh', '-c', 'exec sleep 1000'] })
            assert.deepEqual(owners(), [0, 0, 0o666], JSON.stringify(change))
            assert.equal((await outcomeOf(await openExec(other, ['id', '-u'], { tty: true }))).stdout.trim(), '78')
            assert.deepEqual(owners(), [0, 0, 0o666], `exec with a terminal, ${JSON.stringify(change)}`)
          }
          // Both still see the end of their input at once.
          assert.equal(await container.sh('cat; cat /proc/1/fd/0 | wc -c'), '0')
        })
    },
    { runtime },
  )
}
