import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ContainerIsolationResponseSchema, Vantage } from '@coracle/cri-api/isolation'
import { create, type MessageInitShape } from '@coracle/cri-api/json'
import { isolationText } from './show.ts'

type Init = Exclude<MessageInitShape<typeof ContainerIsolationResponseSchema>, { $typeName: string }>

const shown = (init: Init): string =>
  isolationText(
    'web',
    create(ContainerIsolationResponseSchema, { containerId: 'ab'.repeat(32), runtimeHandler: 'crun', pid: 7, ...init }),
  )

test('equal capability sets share a line, equal ids are one number', () => {
  const caps = ['CAP_CHOWN', 'CAP_KILL']
  const text = shown({
    capabilities: { effective: caps, permitted: caps, bounding: caps },
    uids: { real: 5, effective: 5, saved: 5, fileSystem: 5 },
    gids: { real: 5, effective: 0, saved: 5, fileSystem: 5 },
  })
  assert.match(text, /effective, permitted, bounding:\n {4}CHOWN KILL\n {2}inheritable, ambient:\n {4}none/)
  assert.match(text, /uid {6}5\n {2}gid {6}real 5, effective 0, saved 5, file system 5/)
})

test('a cgroup path is told once where all are alike, else with each hierarchy', () => {
  const memory = { version: 1, controllers: ['memory'], path: '/a', limits: { 'memory.limit_in_bytes': '64' } }
  const pids = { version: 1, controllers: ['pids'], path: '/a', limits: { 'pids.max': '5', 'x.device': '' } }
  assert.match(
    shown({ cgroups: [memory, pids] }),
    /\/a\n {2}v1 memory\n {4}memory.limit_in_bytes = 64\n {2}v1 pids\n {4}pids.max = 5\n/,
  )
  assert.match(shown({ cgroups: [memory, { ...pids, path: '/b' }] }), /v1 memory \/a\n.*\n {2}v1 pids \/b\n/)
})

test('what leads outside is marked, and what cannot be seen is said', () => {
  const text = shown({ vantage: Vantage.SANDBOX, descriptors: [{ fd: 8, target: '/var', access: 'r', outside: true }] })
  assert.match(text, /8 +r +\/var +outside the container's mounts/)
  assert.match(text, /kernel of its own/)
  assert.doesNotMatch(text, /Masked paths/)
})

test('ids of a user namespace are told both ways', () => {
  const ids = { real: 100_007, effective: 100_007, saved: 100_007, fileSystem: 100_007 }
  const text = shown({ uids: ids, gids: ids, uidMap: [{ inside: 0, outside: 100_000, count: 65_536 }] })
  assert.match(text, /uid {6}100007 \(7 inside\)\n {2}gid {6}100007\n/)
})
