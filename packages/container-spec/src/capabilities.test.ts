import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { host, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { capabilitiesInSandbox, capabilitySets, defaultCapabilities, knownCapabilities, setsOfUser } from './capabilities.ts'

interface Wish {
  add?: string[]
  drop?: string[]
  ambient?: string[]
  privileged?: boolean
}
const sets = ({ add = [], drop = [], ambient = [], privileged = false }: Wish) => {
  const capabilities = { addCapabilities: add, dropCapabilities: drop, addAmbientCapabilities: ambient }
  const request = secured({ capabilities }).linux?.securityContext?.capabilities
  return capabilitySets({ request, privileged, defaults: defaultCapabilities, available: host.capabilities })
}
const short = (names: readonly string[]) => names.map((name) => name.slice(4)).join(' ')

describe('capabilities', () => {
  test('H-30: nine by default', () => {
    assert.equal(short(sets({}).effective), 'CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE')
  })
  test('H-31 CVE-2022-24769 CVE-2022-27652: inheritable and ambient are empty unless asked for', () => {
    for (const wish of [{}, { add: ['ALL'] }, { privileged: true }, { drop: ['ALL'], add: ['NET_ADMIN'] }]) {
      assert.deepEqual(sets(wish).inheritable, [])
      assert.deepEqual(sets(wish).ambient, [])
    }
  })
  test('where no kernel of Linux does it at execve: users other than root keep only ambient ones', () => {
    const made = sets({ add: ['NET_ADMIN'], ambient: ['NET_ADMIN'] })
    assert.deepEqual(setsOfUser(made, 0), made)
    const users = setsOfUser(made, 1234)
    assert.equal(short(users.effective), 'NET_ADMIN')
    assert.deepEqual(users.permitted, users.effective)
    assert.deepEqual(users.bounding, made.bounding)
    assert.deepEqual(setsOfUser(sets({}), 1234).effective, [])
  })
  test('a kernel of their own does not know the newest', () => {
    const known = capabilitiesInSandbox(knownCapabilities)
    assert.deepEqual(
      knownCapabilities.filter((name) => !known.includes(name)),
      ['CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE'],
    )
  })
  test('bounding, effective and permitted are the same', () => {
    const made = sets({ add: ['SYS_ADMIN'], drop: ['CHOWN'] })
    assert.deepEqual(made.bounding, made.effective)
    assert.deepEqual(made.bounding, made.permitted)
  })
  const table: readonly (readonly [Wish, string])[] = [
    [{ drop: ['ALL'] }, ''],
    [{ drop: ['all'], add: ['NET_RAW'] }, 'NET_RAW'],
    [{ drop: ['ALL'], add: ['cap_net_raw', 'CAP_CHOWN'] }, 'CHOWN NET_RAW'],
    [{ drop: ['ALL'], add: ['KILL', 'CHOWN'], ambient: ['CHOWN'] }, 'CHOWN KILL'],
    [{ add: ['KILL'], drop: ['KILL', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'] }, 'SETGID SETUID SETPCAP NET_BIND_SERVICE'],
    [{ add: ['ALL'], drop: ['ALL'] }, ''],
    [{ privileged: true, drop: ['ALL'] }, short(knownCapabilities.filter((name) => name !== 'CAP_SYS_RESOURCE'))],
    [{ add: ['ALL'] }, short(knownCapabilities.filter((name) => name !== 'CAP_SYS_RESOURCE'))],
  ]
  for (const [wish, expected] of table) test(JSON.stringify(wish), () => assert.equal(short(sets(wish).bounding), expected))
  test('ambient ones are held, and inheritable too, or the kernel would not keep them', () => {
    const made = sets({ drop: ['ALL'], ambient: ['NET_BIND_SERVICE'] })
    assert.deepEqual(new Set(Object.values(made).map(short)), new Set(['NET_BIND_SERVICE']))
  })
  test('a dropped capability is not ambient', () => {
    assert.deepEqual(sets({ ambient: ['CHOWN'], drop: ['CHOWN'] }).ambient, [])
  })
  test('unknown names and those we do not have are refused', () => {
    throws(() => sets({ add: ['FLY'] }), 'invalid_argument', 'add_capabilities[0]')
    throws(() => sets({ drop: ['KILL', ''] }), 'invalid_argument', 'drop_capabilities[1]')
    throws(() => sets({ ambient: ['x'] }), 'invalid_argument', 'add_ambient_capabilities[0]')
    throws(() => sets({ add: ['SYS_RESOURCE'] }), 'failed_precondition', 'CAP_SYS_RESOURCE')
  })
})
