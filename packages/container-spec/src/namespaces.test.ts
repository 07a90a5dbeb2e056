import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { host, input, pod, podFacts, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { createSpec } from './spec.ts'
import type { PodFacts, SpecInput } from './spec-input.ts'

type Options = NonNullable<NonNullable<Parameters<typeof secured>[0]>['namespaceOptions']>
const list = (namespaceOptions: Options | undefined, init: Partial<SpecInput> = {}) =>
  createSpec(
    input({ config: secured(namespaceOptions === undefined ? {} : { namespaceOptions }), ...init }),
  ).spec.linux.namespaces.map(({ type, path }) => (path === undefined ? type : `${type}:${path}`))
const pinned = ['mount', 'network:/run/ns/net', 'ipc:/run/ns/ipc', 'uts:/run/ns/uts']

describe('namespaces', () => {
  test('PID modes', () => {
    const shared = { pod: podFacts({ pidnsPath: '/proc/9/ns/pid' }), targetPidnsPath: '/proc/10/ns/pid' }
    assert.deepEqual(list(undefined), [...pinned, 'pid'])
    assert.deepEqual(list({ pid: 1 }), [...pinned, 'pid'])
    assert.deepEqual(list({ pid: 0 }, shared), [...pinned, 'pid:/proc/9/ns/pid'])
    // Left out is POD; in a pod that shares none, that is one of its own.
    assert.deepEqual(list(undefined, shared), [...pinned, 'pid:/proc/9/ns/pid'])
    assert.deepEqual(list({ pid: 0 }), [...pinned, 'pid'])
    assert.deepEqual(list({ pid: 2 }, shared), pinned)
    assert.deepEqual(list({ pid: 3, targetId: 'x' }, shared), [...pinned, 'pid:/proc/10/ns/pid'])
  })
  test('a namespace to join that is not there, and unknown modes, are refused', () => {
    throws(() => list({ pid: 3 }), 'failed_precondition', 'target container has no PID namespace')
    throws(() => list({ pid: 9 as 0 }), 'invalid_argument', 'pid 9')
  })
  test('H-47: the host’s are not listed', () => {
    const onHost = { netnsPath: undefined, ipcnsPath: undefined, utsnsPath: undefined }
    assert.deepEqual(list({ pid: 2 }, { pod: podFacts(onHost) }), ['mount'])
  })
  test('CVE-2023-25809 H-41: a cgroup namespace of its own on v2, but not when privileged', () => {
    const v2 = { host: { ...host, cgroupMode: 'v2' as const } }
    assert.ok(list(undefined, v2).includes('cgroup'))
    assert.ok(!list(undefined).includes('cgroup'))
    const facts = podFacts({ config: pod({ linux: { securityContext: { privileged: true } } }) })
    const { spec } = createSpec(input({ ...v2, pod: facts, config: secured({ privileged: true }) }))
    assert.ok(!spec.linux.namespaces.some(({ type }) => type === 'cgroup'))
  })
})

describe('H-42: user namespaces', () => {
  const ids = [{ hostId: 65536, containerId: 0, length: 65536 }]
  const able = { ...host, userNamespaces: true }
  type Userns = NonNullable<Options['usernsOptions']>
  const facts = (usernsOptions: Userns, more: Partial<PodFacts> = {}) =>
    podFacts({ config: pod({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } }), ...more })
  const made = (usernsOptions: Userns, more: Partial<PodFacts> = {}, own?: Userns) => {
    const config = secured({ namespaceOptions: { pid: 1, ...(own === undefined ? {} : { usernsOptions: own }) } })
    return createSpec(input({ pod: facts(usernsOptions, more), host: able, config })).spec.linux
  }
  test('the pod’s mapping, and its pinned namespace', () => {
    const linux = made({ mode: 0, uids: ids, gids: ids }, { usernsPath: '/u' })
    assert.deepEqual(linux.uidMappings, [{ containerID: 0, hostID: 65536, size: 65536 }])
    assert.deepEqual(linux.gidMappings, linux.uidMappings)
    assert.deepEqual(linux.namespaces.at(-1), { type: 'user', path: '/u' })
  })
  test('NODE means none', () => {
    assert.equal(made({ mode: 2 }).uidMappings, undefined)
  })
  const bad: readonly (readonly [Userns, string])[] = [
    [{ mode: 1, uids: ids, gids: ids }, 'mode 1'],
    [{ mode: 3, uids: ids, gids: ids }, 'mode 3'],
    [{ mode: 0, uids: [], gids: ids }, 'uids'],
    [{ mode: 0, uids: ids, gids: [] }, 'gids'],
    [{ mode: 0, uids: [...ids, { hostId: 1, containerId: 65536, length: 1 }], gids: ids }, 'exactly one'],
    [{ mode: 0, uids: [{ hostId: 65536, containerId: 1, length: 65536 }], gids: ids }, 'container_id'],
    [{ mode: 0, uids: ids, gids: [{ hostId: 65536, containerId: 0, length: 0 }] }, 'length'],
    [{ mode: 2, uids: ids, gids: ids }, 'NODE'],
    [{ mode: 0, uids: ids, gids: [{ hostId: 131072, containerId: 0, length: 65536 }] }, 'the same mapping'],
    [{ mode: 0, uids: [{ hostId: 0, containerId: 0, length: 65536 }], gids: ids }, 'host_id must not be 0'],
  ]
  for (const [options, words] of bad)
    test(`refused: ${words} of ${JSON.stringify(options)}`, () => {
      throws(() => made(options), 'invalid_argument', words)
    })
  test('a container may not differ from its pod', () => {
    const options = { mode: 0 as const, uids: ids, gids: ids }
    assert.ok(made(options, {}, options).uidMappings)
    throws(() => made(options, {}, { mode: 2 }), 'invalid_argument', 'differs')
    throws(() => made({ mode: 2 }, {}, options), 'invalid_argument', 'differs')
  })
  test('a user or group that is not mapped is refused', () => {
    const userns = { mode: 0 as const, uids: ids, gids: ids }
    const run = (security: Parameters<typeof secured>[0]) =>
      createSpec(input({ pod: facts(userns, { usernsPath: '/u' }), host: able, config: secured(security) }))
    assert.equal(run({ runAsUser: { value: 65535n } }).user.uid, 65535)
    throws(() => run({ runAsUser: { value: 65536n } }), 'invalid_argument', 'user 65536 is not mapped')
    throws(() => run({ supplementalGroups: [70000n] }), 'invalid_argument', 'group 70000 is not mapped')
  })
  test('refused where the handler or kernel has none', () => {
    throws(() => createSpec(input({ pod: facts({ mode: 0, uids: ids, gids: ids }) })), 'failed_precondition', 'user namespaces')
  })
})
