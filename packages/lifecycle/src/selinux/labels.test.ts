import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { codeOf, precondition } from '@coracle/base/errors'
import { containerConfig, podConfig, type TestServices, testServices } from '@coracle/testkit/services'
import { createContainer } from '../container/create.ts'
import { removePod } from '../pod/remove.ts'
import { runPod } from '../pod/run.ts'
import type { Services } from '../services.ts'
import type { Selinux } from './labels.ts'

const { signal } = new AbortController()
const policy = {
  process: { user: 'system_u', role: 'system_r', type: 'container_t' },
  file: { user: 'system_u', role: 'object_r', type: 'container_file_t' },
  privilegedType: 'spc_t',
}

/** A node with SELinux on paper: labels are noted. */
function labelled(world: TestServices) {
  const noted: string[] = []
  const selinux: Selinux = {
    policy: () => policy,
    setLabel: (path, label) => void noted.push(`${path.slice(path.lastIndexOf('/') + 1)} ${label}`),
    relabel: async (path, label) => void noted.push(`relabel ${path} ${label}`),
  }
  const services: Services = { ...world.services, selinux }
  const run = async (name: string, init = {}) =>
    services.pods.get(await runPod(services, { config: podConfig(name, init), handler: '', fingerprint: name }, signal))
  const create = async (podId: string, init: Parameters<typeof containerConfig>[1] = {}) => {
    const config = containerConfig('c', { ...init, linux: { ...init.linux } })
    return services.containers.get(await createContainer(services, { podId, config, fingerprint: 'f' }, signal))
  }
  return { noted, services, run, create }
}

const security = (securityContext: object) => ({
  linux: { securityContext: { namespaceOptions: { pid: 1 as const }, ...securityContext } },
})

describe('H-35: SELinux labels', () => {
  test('each pod has a level of its own, also after a restart, until it is removed', async () => {
    await using world = testServices()
    const { services, run } = labelled(world)
    const pods = await Promise.all(['a', 'b', 'c'].map((name) => run(name)))
    const levels = pods.map((pod) => pod.selinuxLevel)
    assert.equal(new Set(levels).size, 3)
    for (const level of levels) assert.match(level ?? '', /^s0:c\d+,c\d+$/)
    await removePod(services, pods[0]?.id ?? '')
    const taken = (from: Services) => [...from.pods.all()].map((pod) => pod.selinuxLevel).toSorted()
    assert.deepEqual(taken(services), levels.slice(1).toSorted())
    await using next = world.restart()
    assert.deepEqual(taken(next.services), levels.slice(1).toSorted())
  })

  test('processes, root file system, files of the pod and its shared memory are labelled with it', async () => {
    await using world = testServices()
    const { noted, run, create } = labelled(world)
    const pod = await run('a')
    const file = `system_u:object_r:container_file_t:${pod.selinuxLevel}`
    const { made } = await create(pod.id)
    assert.equal(made?.process.selinuxLabel, `system_u:system_r:container_t:${pod.selinuxLevel}`)
    assert.deepEqual(noted.toSorted(), [`hostname ${file}`, `hosts ${file}`, `resolv.conf ${file}`])
    const shm = [...world.machine.host.mountTargets.values()].find(({ target }) => target.endsWith('/shm'))
    assert.ok(shm?.options.includes(`context="${file}"`))
  })

  test('options of the container count, then those of the pod; privileged means not confined', async () => {
    await using world = testServices()
    const { run, create } = labelled(world)
    const options = { level: 's0:c7,c8', type: 'my_t' }
    const pod = await run('a', security({ selinuxOptions: options, privileged: true }))
    assert.equal(pod.selinuxLevel, 's0:c7,c8')
    assert.equal((await create(pod.id)).made?.process.selinuxLabel, 'system_u:system_r:my_t:s0:c7,c8')
    const other = await run('b', security({ privileged: true }))
    const container = await create(other.id, security({ privileged: true }))
    assert.equal(container.made?.process.selinuxLabel, `system_u:system_r:spc_t:${other.selinuxLevel}`)
    await assert.rejects(run('c', security({ selinuxOptions: { level: 'high' } })), (err) => codeOf(err) === 'invalid_argument')
  })

  test('volumes are relabelled when their mount says so; trees of the system never', async () => {
    await using world = testServices()
    const { noted, run, create, services } = labelled(world)
    const { files } = world.machine.host
    for (const path of ['/data', '/other', '/etc/app', '/home']) files.set(path, { type: 'directory' })
    const pod = await run('a')
    const mounts = [
      { containerPath: '/a', hostPath: '/data', selinuxRelabel: true },
      { containerPath: '/b', hostPath: '/other' },
      { containerPath: '/c', hostPath: '/data', selinuxRelabel: true },
    ]
    await create(pod.id, { mounts })
    const file = `system_u:object_r:container_file_t:${pod.selinuxLevel}`
    assert.deepEqual(
      noted.filter((text) => text.startsWith('relabel')),
      [`relabel /data ${file}`],
    )
    for (const hostPath of ['/etc/app', '/home', '/']) {
      files.set(hostPath, { type: 'directory' })
      const config = containerConfig('d', { mounts: [{ containerPath: '/a', hostPath, selinuxRelabel: true }] })
      await assert.rejects(
        createContainer(services, { podId: pod.id, config, fingerprint: hostPath }, signal),
        (err) => codeOf(err) === 'invalid_argument',
        hostPath,
      )
    }
  })

  test('without a policy for containers none is made; without SELinux options mean nothing', async () => {
    await using world = testServices()
    const { services } = labelled(world)
    const broken: Services = {
      ...services,
      selinux: {
        ...(services.selinux as Selinux),
        policy: () => {
          throw precondition('no policy')
        },
      },
    }
    const request = { config: podConfig('x'), handler: '', fingerprint: 'x' }
    await assert.rejects(runPod(broken, request, signal), (err) => codeOf(err) === 'failed_precondition')
    assert.equal(services.pods.size, 0)
    const id = await runPod(world.services, request, signal)
    const config = containerConfig('c', security({ selinuxOptions: { level: 's0:c1' } }))
    const container = await createContainer(world.services, { podId: id, config, fingerprint: 'c' }, signal)
    assert.equal(world.services.containers.get(container).made?.process.selinuxLabel, undefined)
  })
})
