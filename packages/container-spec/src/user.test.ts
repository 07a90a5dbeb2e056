import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type SecurityInit, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { resolveUser } from './user.ts'

const passwd = Buffer.from(
  [
    'root:x:0:0:root:/root:/bin/sh',
    'app:x:1000:2000:App:/home/app:/bin/sh',
    '2147483648:x:0:0::/:/bin/sh',
    '4294967296:x:0:0::/:/bin/sh',
    'wrap:x:4294967296:0::/:/bin/sh',
    'half:x:1',
    '1234:x:0:0::/root:/bin/sh',
    'nohome:x:1500:1500',
  ].join('\n'),
)
const group = Buffer.from('root:x:0:\nstaff:x:50:app,root\napp:x:2000:\nmany:x:60:x,app\n77:x:0:\nbad:x:99999999999:app\n')

const resolve = (imageUser: string, security?: SecurityInit, files: { passwd?: Buffer; group?: Buffer } = { passwd, group }) =>
  resolveUser({
    security: security === undefined ? undefined : secured(security).linux?.securityContext,
    imageUser,
    passwd: files.passwd,
    group: files.group,
  })

describe('M-18 USER of the image', () => {
  const table: readonly (readonly [user: string, uid: number, gid: number, groups: readonly number[], home: string])[] = [
    ['', 0, 0, [0, 50], '/root'],
    ['root', 0, 0, [0, 50], '/root'],
    ['app', 1000, 2000, [2000, 50, 60], '/home/app'],
    ['1000', 1000, 2000, [2000, 50, 60], '/home/app'],
    ['app:staff', 1000, 50, [50, 60], '/home/app'],
    ['app:7', 1000, 7, [7, 50, 60], '/home/app'],
    ['1000:staff', 1000, 50, [50, 60], '/home/app'],
    ['5000', 5000, 0, [0], '/'],
    ['5000:6000', 5000, 6000, [6000], '/'],
    ['app:', 1000, 2000, [2000, 50, 60], '/home/app'],
    [':50', 0, 50, [50], '/root'],
    ['00', 0, 0, [0, 50], '/root'],
    // A user named 1234 with uid 0 is there, and is not meant.
    ['1234', 1234, 0, [0], '/'],
    // Likewise a group named 77 with gid 0.
    ['0:77', 0, 77, [77, 50], '/root'],
  ]
  for (const [user, uid, gid, supplementalGroups, home] of table)
    test(JSON.stringify(user), () => {
      assert.deepEqual(resolve(user), { uid, gid, supplementalGroups, home })
    })

  const refused =
    '4294967296 2147483648 4294967295 -1 +0 0x0 1e3 1_0 १ 9007199254740993 nobody half wrap 0:99999999999 0:nogroup 0:-1 0:2147483648'
  for (const user of [...refused.split(' '), ' 0', '0 ', '\t0', '0\n'])
    test(`CVE-2024-40635 CVE-2026-46680: ${JSON.stringify(user)} is refused`, () => {
      throws(() => resolve(user), 'invalid_argument', 'image ')
    })

  test('numeric ids need no files, names do', () => {
    assert.deepEqual(resolve('7:8', undefined, {}), { uid: 7, gid: 8, supplementalGroups: [8], home: '/' })
    throws(() => resolve('app', undefined, {}), 'invalid_argument', '/etc/passwd')
  })
})

describe('M-18 run_as_user, run_as_username, run_as_group', () => {
  const ids = (security: SecurityInit, user = 'app:staff') => {
    const { uid, gid, supplementalGroups } = resolve(user, security)
    return [uid, gid, supplementalGroups]
  }
  test('replace all of the image’s USER', () => {
    assert.deepEqual(ids({ runAsUser: { value: 1000n } }), [1000, 2000, [2000, 50, 60]])
    assert.deepEqual(ids({ runAsUser: { value: 4000n } }), [4000, 0, [0]])
    assert.deepEqual(ids({ runAsUser: { value: 1000n }, runAsGroup: { value: 9n } }), [1000, 9, [9, 50, 60]])
    assert.deepEqual(ids({ runAsUsername: 'app' }, ''), [1000, 2000, [2000, 50, 60]])
    assert.deepEqual(ids({ runAsUsername: '1000' }, ''), [1000, 2000, [2000, 50, 60]])
  })
  test('refused: a group without a user, both kinds of user, unknown names, ids out of range', () => {
    throws(() => ids({ runAsGroup: { value: 9n } }), 'invalid_argument', 'run_as_group')
    throws(() => ids({ runAsUser: { value: 1n }, runAsUsername: 'app' }), 'invalid_argument', 'run_as_user')
    throws(() => ids({ runAsUsername: 'nobody' }), 'invalid_argument', 'run_as_username')
    for (const value of [-1n, 2n ** 31n, 2n ** 32n, 2n ** 63n - 1n]) {
      throws(() => ids({ runAsUser: { value } }), 'invalid_argument', 'run_as_user')
      throws(() => ids({ runAsUser: { value: 1n }, runAsGroup: { value } }), 'invalid_argument', 'run_as_group')
      throws(() => ids({ supplementalGroups: [value] }), 'invalid_argument', 'supplemental_groups[0]')
    }
  })
})

describe('CVE-2023-25173 CVE-2022-2995: supplemental groups hold the primary one', () => {
  test('Merge adds those of the image, Strict does not', () => {
    const merge = { runAsUser: { value: 1000n }, supplementalGroups: [7n, 2000n, 7n] }
    assert.deepEqual(resolve('', merge).supplementalGroups, [2000, 50, 60, 7])
    assert.deepEqual(resolve('', { ...merge, supplementalGroupsPolicy: 1 }).supplementalGroups, [2000, 7])
  })
})

describe('CVE-2026-47262: hostile passwd and group files', () => {
  test('a line over 64 KiB is refused', () => {
    const long = Buffer.alloc(9 << 20, 'x')
    throws(() => resolve('app', undefined, { passwd: long, group }), 'invalid_argument', '/etc/passwd')
    throws(() => resolve('app', undefined, { passwd, group: long }), 'invalid_argument', '/etc/group')
  })
  test('10 MiB of lines are read in less than two seconds of CPU', () => {
    const lines = Buffer.from('user:x:77777:1:::\n'.repeat(600_000))
    const before = process.cpuUsage()
    throws(() => resolve('app', undefined, { passwd: lines, group }), 'invalid_argument', 'is not in /etc/passwd')
    const { user, system } = process.cpuUsage(before)
    assert.ok(user + system < 2_000_000)
  })
  test('bytes that are no text, carriage returns and blank lines do no harm', () => {
    const odd = Buffer.concat([Buffer.from([0xff, 0xfe, 0x0a, 0x0a]), Buffer.from('app:x:5:6::/h:/bin/sh\r\n')])
    assert.deepEqual(resolve('app', undefined, { passwd: odd }), { uid: 5, gid: 6, supplementalGroups: [6], home: '/h' })
  })
  test('a home that is no absolute path is /', () => {
    assert.equal(resolve('a', undefined, { passwd: Buffer.from('a:x:1:1::home:/bin/sh') }).home, '/')
  })
})
