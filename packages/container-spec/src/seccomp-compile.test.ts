import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Seccomp } from '@coracle/oci-spec/runtime-spec'
import { defaultCapabilities, knownCapabilities } from './capabilities.ts'
import { compileSeccomp, encodeFilter, type Instruction } from './seccomp-compile.ts'
import { defaultSeccomp } from './seccomp-default.ts'
import { i386Numbers, x8664Numbers } from './syscall-numbers.ts'

const ALLOW = 0x7fff0000
const errno = (value: number) => 0x50000 | value
const X86_64 = 0xc000003e
const I386 = 0x40000003

/** The kernel's part: runs a filter on one call. */
function execute(program: readonly Instruction[], arch: number, number: number, args: readonly bigint[] = []): number {
  const words = new Map([
    [0, number],
    [4, arch],
  ])
  for (let i = 0; i < 6; i++) {
    const value = BigInt.asUintN(64, args[i] ?? 0n)
    words.set(16 + 8 * i, Number(value & 0xffffffffn))
    words.set(20 + 8 * i, Number(value >> 32n))
  }
  let accumulator = 0
  for (let pc = 0; ; pc++) {
    const step = program[pc]
    assert.ok(step, `ran to ${pc}`)
    const { code, jt, jf, k } = step
    if (code === 0x06) return k
    if (code === 0x20) accumulator = words.get(k) ?? assert.fail(`load ${k}`)
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x05) pc += k
    else if (code === 0x15) pc += accumulator === k ? jt : jf
    else if (code === 0x35) pc += accumulator >= k ? jt : jf
    else assert.fail(`code ${code}`)
  }
}

/** What the profile itself says, read rule by rule. */
function expected(profile: Seccomp, name: string, args: readonly bigint[]): number {
  for (const rule of profile.syscalls ?? []) {
    if (!rule.names.includes(name)) continue
    const holds = (rule.args ?? []).every(({ index, value, valueTwo = 0, op }) => {
      const given = BigInt.asUintN(64, args[index] ?? 0n)
      return op === 'SCMP_CMP_EQ' ? given === BigInt(value) : (given & BigInt(value)) === BigInt(valueTwo)
    })
    if (holds) return rule.action === 'SCMP_ACT_ALLOW' ? ALLOW : errno(rule.errnoRet ?? 1)
  }
  return errno(38)
}

const argumentLists: readonly (readonly bigint[])[] = [
  [],
  ...[1n, 2n, 16n, 31n, 32n, 37n, 38n, 39n, 40n, 41n, 43n, 44n, 47n, 48n, 2n ** 32n + 38n, 2n ** 40n + 40n, 2n ** 33n + 2n].map(
    (first) => [first],
  ),
  ...[0x10000000n, 0x20000n, 0x40000000n + 17n, 17n, 0x80n, 0x3d0f00n, 8n, 0x20008n, 0xffffffffn, 0x40000n, 2n ** 64n - 1n].map(
    (first) => [first],
  ),
]

describe('compileSeccomp', () => {
  for (const [name, capabilities] of [
    ['no', []],
    ['default', defaultCapabilities],
    ['all', knownCapabilities],
    ['administration', [...defaultCapabilities, 'CAP_SYS_ADMIN']],
  ] as const)
    test(`says what the profile says, with ${name} capabilities`, () => {
      const profile = defaultSeccomp(capabilities)
      const program = compileSeccomp(profile, 'x64')
      assert.ok(program && program.length < 4096)
      for (const [arch, numbers] of [
        [X86_64, x8664Numbers],
        [I386, i386Numbers],
      ] as const)
        for (const [call, number] of numbers)
          for (const args of ['socket', 'clone', 'personality'].includes(call) ? argumentLists : [[]])
            assert.equal(execute(program, arch, number, args), expected(profile, call, args), `${call} ${args}`)
    })
  const program = compileSeccomp(defaultSeccomp([]), 'x64') ?? []
  test('unknown calls and x32 fail with ENOSYS, other machines end the process', () => {
    for (const number of [470, 999, 0x3fffffff, 0x40000000, 0x40000001, 0xffffffff])
      assert.equal(execute(program, X86_64, number), errno(38))
    for (const number of [500, 0xffffffff]) assert.equal(execute(program, I386, number), errno(38))
    assert.equal(execute(program, 0xc00000b7, 0), 0x80000000)
  })
  test('a call takes few steps', () => {
    assert.ok(program.length < 900, `${program.length}`)
  })
  test('encoded as struct sock_filter', () => {
    const bytes = encodeFilter(program)
    assert.equal(bytes.length, program.length * 8)
    assert.deepEqual([...bytes.subarray(0, 8)], [0x20, 0, 0, 0, 4, 0, 0, 0])
  })
  test('what it does not know is left to libseccomp', () => {
    assert.equal(compileSeccomp(defaultSeccomp([]), 'arm64'), undefined)
    assert.equal(compileSeccomp({ defaultAction: 'SCMP_ACT_KILL' }, 'x64'), undefined)
    const rule = { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 1, op: 'SCMP_CMP_GT' }] }
    assert.equal(compileSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [rule] }, 'x64'), undefined)
  })
})
