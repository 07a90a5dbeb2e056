import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mountsBelow, parseMountInfo } from './mountinfo.ts'

test('parseMountInfo() reads optional fields and escaped paths', () => {
  const [mount, ...rest] = parseMountInfo(
    '36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime shared:1 master:7 propagate_from:2 - ext4 /dev/root rw,errors=continue\n',
  )
  assert.deepEqual(rest, [])
  assert.deepEqual(mount, {
    id: 36,
    parent: 35,
    root: '/mnt1',
    target: '/a b\\c',
    options: ['rw', 'noatime'],
    propagation: ['shared:1', 'master:7', 'propagate_from:2'],
    type: 'ext4',
    source: '/dev/root',
  })
})

test('parseMountInfo() takes no optional fields, empty sources and skips foreign lines', () => {
  const mounts = parseMountInfo(
    '1 0 0:1 / / rw - tmpfs  rw\nnonsense\n\n2 1 0:2 net:[4026532177] /run/netns/x rw - nsfs nsfs rw\n',
  )
  assert.deepEqual(
    mounts.map(({ root, target, source, propagation }) => ({ root, target, source, propagation })),
    [
      { root: '/', target: '/', source: '', propagation: [] },
      { root: 'net:[4026532177]', target: '/run/netns/x', source: 'nsfs', propagation: [] },
    ],
  )
})

test('mountsBelow() puts the deepest and the topmost of a stack first, and no neighbour', () => {
  const line = (id: number, parent: number, target: string) => `${id} ${parent} 0:1 / ${target} rw - tmpfs tmpfs rw`
  // /p was mounted last, yet holds /p/a: it was moved there.
  const mounts = parseMountInfo(
    [line(5, 9, '/p/a'), line(6, 5, '/p/a/b'), line(7, 6, '/p/a/b'), line(8, 1, '/pq'), line(9, 1, '/p')].join('\n'),
  )
  assert.deepEqual(
    mountsBelow(mounts, '/p').map(({ id }) => id),
    [7, 6, 5, 9],
  )
})
