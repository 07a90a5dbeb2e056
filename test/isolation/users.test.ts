// Users and groups: the request, the kernel's word, the container's own view and ContainerStatus agree.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestImages } from '@coracle/testkit/busybox-images'
import { failsWith } from '../cri/expect.ts'
import { type ContainerInit, isolationSuite, sorted, statusInside } from './suite.ts'

type Security = NonNullable<NonNullable<ContainerInit['linux']>['securityContext']>

interface Row {
  readonly name: string
  readonly image?: keyof TestImages
  readonly security: Security
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

const strict = { supplementalGroupsPolicy: 1 } as const
const value = (id: number) => ({ value: BigInt(id) })

const rows: readonly Row[] = [
  { name: 'nothing asked', security: {}, uid: 0, gid: 0, groups: [0] },
  { name: 'run_as_user known to the image', security: { runAsUser: value(1234) }, uid: 1234, gid: 1235, groups: [1235, 4000] },
  { name: 'the same, Strict', security: { runAsUser: value(1234), ...strict }, uid: 1234, gid: 1235, groups: [1235] },
  { name: 'run_as_user unknown to the image', security: { runAsUser: value(5555) }, uid: 5555, gid: 0, groups: [0] },
  { name: 'run_as_username', security: { runAsUsername: 'app' }, uid: 1234, gid: 1235, groups: [1235, 4000] },
  {
    name: 'run_as_user and run_as_group',
    security: { runAsUser: value(1234), runAsGroup: value(7) },
    ...{ uid: 1234, gid: 7, groups: [7, 4000] },
  },
  {
    name: 'supplemental groups are merged',
    security: { runAsUser: value(1234), supplementalGroups: [55n, 66n] },
    ...{ uid: 1234, gid: 1235, groups: [55, 66, 1235, 4000] },
  },
  {
    name: 'supplemental groups, Strict',
    security: { runAsUser: value(1234), supplementalGroups: [55n, 66n], ...strict },
    ...{ uid: 1234, gid: 1235, groups: [55, 66, 1235] },
  },
  { name: 'the image names a user', image: 'userName', security: {}, uid: 1234, gid: 1235, groups: [1235, 4000] },
  { name: 'the image gives numbers', image: 'userUid', security: {}, uid: 1234, gid: 1236, groups: [1236, 4000] },
  { name: "root against the image's user", image: 'userName', security: { runAsUser: value(0) }, uid: 0, gid: 0, groups: [0] },
]

isolationSuite('users and groups', (bed) => {
  for (const { name, image = 'busybox', security, uid, gid, groups } of rows)
    test(name, async () => {
      await bed.cri.image.pullImage({ image: { image: bed.cri.images[image] } })
      await using pod = await bed.pod()
      const container = await pod.run({
        image: { image: bed.cri.images[image] },
        command: ['sleep', '10000'],
        linux: { securityContext: { namespaceOptions: { pid: 1 }, ...security } as Security },
      })
      for (const process of ['init', 'exec'] as const) {
        const inside = await statusInside(container, process)
        assert.deepEqual([...inside.uids, ...inside.gids], [uid, uid, uid, uid, gid, gid, gid, gid], process)
        assert.deepEqual(sorted(inside.groups), groups, process)
      }
      const { user } = await container.status()
      assert.deepEqual([user?.linux?.uid, user?.linux?.gid], [BigInt(uid), BigInt(gid)])
      assert.deepEqual(sorted((user?.linux?.supplementalGroups ?? []).map(Number)), groups)
      if (bed.sandboxed) return
      const found = await bed.inspect(container)
      const four = (id: number) => ({ real: id, effective: id, saved: id, fileSystem: id })
      const { $typeName: _uids, ...uids } = found.uids ?? { $typeName: '' }
      const { $typeName: _gids, ...gids } = found.gids ?? { $typeName: '' }
      assert.deepEqual({ uids, gids }, { uids: four(uid), gids: four(gid) })
      assert.deepEqual(sorted(found.groups), groups)
    })

  const secret = bed.image('secret', { layers: [[{ path: 'secret', body: 'told', mode: 0o604, gid: 1235 }]] })
  test('CVE-2023-25173 CVE-2022-2995 CVE-2022-36109: what its groups may not read, a process may not read as one of the others', async () => {
    await using pod = await bed.pod()
    for (const [security, told] of [
      [{ runAsUser: value(1234) }, false],
      [{ runAsUser: value(5555), supplementalGroups: [1235n] }, false],
      [{ runAsUser: value(5555), runAsGroup: value(1235) }, false],
      [{ runAsUser: value(5555) }, true],
    ] as const) {
      const container = await pod.run({
        image: { image: secret() },
        command: ['sleep', '10000'],
        linux: {
          securityContext: {
            namespaceOptions: { pid: 1 },
            ...security,
            supplementalGroups: [...('supplementalGroups' in security ? security.supplementalGroups : [])],
          },
        },
      })
      const { stdout, exitCode } = await container.exec(['cat', '/secret'])
      assert.deepEqual([stdout, exitCode], told ? ['told', 0] : ['', 1])
    }
  })

  test('run_as_group without a user is refused', async () => {
    await using pod = await bed.pod()
    await failsWith('invalid_argument', pod.create({ linux: { securityContext: { runAsGroup: { value: 7n } } } }), /run_as_group/)
  })
})
