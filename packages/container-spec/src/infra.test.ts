import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { host, pod, podFacts } from '../test/sample-input.ts'
import { infraSpec } from './infra.ts'

const made = (init: Parameters<typeof podFacts>[0] = {}) =>
  infraSpec({ id: 'i', pod: podFacts(init), host, rootfsPath: '/empty', initProgram: '/usr/bin/catatonit' })

describe('infraSpec', () => {
  test('a process with nothing: no capabilities, no new ones, a filter, a read-only root of its own program', () => {
    const spec = made()
    assert.deepEqual(new Set(Object.values(spec.process.capabilities).flat()), new Set())
    assert.equal(spec.process.noNewPrivileges, true)
    assert.equal(spec.root.readonly, true)
    assert.ok(spec.linux.seccomp)
    assert.deepEqual(
      spec.mounts.filter((mount) => mount.type === 'bind').map((mount) => mount.source),
      ['/usr/bin/catatonit'],
    )
    assert.deepEqual(spec.process.user, { uid: 65535, gid: 65535, umask: 0o77, additionalGids: [65535] })
  })
  test('its own PID namespace, the pod’s others, a cgroup below the pod’s', () => {
    const { namespaces, cgroupsPath } = made().linux
    assert.deepEqual(
      namespaces.map(({ type, path }) => path ?? type),
      ['mount', 'pid', '/run/ns/net', '/run/ns/ipc', '/run/ns/uts'],
    )
    assert.equal(cgroupsPath, '/kubepods/pod1/i')
  })
  test('H-42: in a user namespace that is too small for it, its last user', () => {
    const ids = [{ hostId: 65536, containerId: 0, length: 1000 }]
    const usernsOptions = { mode: 0 as const, uids: ids, gids: ids }
    const config = pod({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } })
    const spec = made({ config, usernsPath: '/u' })
    assert.equal(spec.process.user.uid, 999)
    assert.deepEqual(spec.linux.namespaces.at(-1), { type: 'user', path: '/u' })
    assert.equal(spec.linux.uidMappings?.[0]?.hostID, 65536)
  })
  test('run_as_user of the sandbox is its user', () => {
    const config = pod({ linux: { securityContext: { runAsUser: { value: 7n } } } })
    assert.equal(made({ config }).process.user.uid, 7)
  })
})
