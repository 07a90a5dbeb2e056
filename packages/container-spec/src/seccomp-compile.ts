// The default seccomp profile as a finished filter program (seccomp(2), Linux BPF: Documentation/networking/filter.rst). crun takes it as it
// is and spares itself libseccomp, which needs longer for this than for everything else in a create; and it knows calls newer than libseccomp.
import type { Seccomp, SeccompArg, SeccompRule } from '@coracle/oci-spec/runtime-spec'
import { i386Numbers, x8664Numbers } from './syscall-numbers.ts'

export interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

const LOAD = 0x20 // BPF_LD | BPF_W | BPF_ABS
const JUMP = 0x05 // BPF_JMP | BPF_JA
const JEQ = 0x15
const JGE = 0x35
const AND = 0x54
const RETURN = 0x06

// Offsets in struct seccomp_data.
const numberOffset = 0
const archOffset = 4
const argumentOffset = (index: number): number => 16 + 8 * index

const AUDIT_ARCH_X86_64 = 0xc000003e
const AUDIT_ARCH_I386 = 0x40000003
const x32Bit = 0x40000000
const KILL_PROCESS = 0x80000000
const ALLOW = 0x7fff0000
const ERRNO = 0x00050000
const ENOSYS = 38

const instruction = (code: number, k: number, jt = 0, jf = 0): Instruction => ({ code, jt, jf, k })
const give = (action: number): Instruction => instruction(RETURN, action)

/** Undefined for what is not compiled: other machines than x86-64, other actions and comparisons than the default profile's. */
export function compileSeccomp(profile: Seccomp, machine: string = process.arch): readonly Instruction[] | undefined {
  if (machine !== 'x64') return undefined
  const wide = compileTable(profile, x8664Numbers)
  const narrow = compileTable(profile, i386Numbers)
  const fallback = actionOf(profile.defaultAction, profile.defaultErrnoRet)
  if (wide === undefined || narrow === undefined || fallback === undefined) return undefined
  return [
    instruction(LOAD, archOffset),
    ...branch(
      JEQ,
      AUDIT_ARCH_X86_64,
      [instruction(LOAD, numberOffset), ...branch(JGE, x32Bit, [give(ERRNO | ENOSYS)], wide)],
      [...branch(JEQ, AUDIT_ARCH_I386, [instruction(LOAD, numberOffset), ...narrow], [give(KILL_PROCESS)])],
    ),
  ]
}

/** The program as the kernel has it: struct sock_filter, little endian. */
export function encodeFilter(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  program.forEach(({ code, jt, jf, k }, i) => {
    bytes.writeUInt16LE(code, i * 8)
    bytes.writeUInt8(jt, i * 8 + 2)
    bytes.writeUInt8(jf, i * 8 + 3)
    bytes.writeUInt32LE(k, i * 8 + 4)
  })
  return bytes
}

/** `yes` when the comparison with `k` holds, else `no`. Both must return. A far `yes` is reached by a jump of its own: conditional ones have 8 bits. */
function branch(code: number, k: number, yes: readonly Instruction[], no: readonly Instruction[]): readonly Instruction[] {
  if (no.length <= 255) return [instruction(code, k, no.length, 0), ...no, ...yes]
  return [instruction(code, k, 0, 1), instruction(JUMP, no.length), ...no, ...yes]
}

function actionOf(action: string, errno: number | undefined): number | undefined {
  if (action === 'SCMP_ACT_ALLOW') return ALLOW
  if (action === 'SCMP_ACT_ERRNO') return ERRNO | ((errno ?? 1) & 0xffff)
  return undefined
}

interface Range {
  readonly from: number
  readonly code: readonly Instruction[]
  /** Equal keys are one range. */
  readonly key: string
}

function compileTable(profile: Seccomp, numbers: ReadonlyMap<string, number>): readonly Instruction[] | undefined {
  const rules = new Map<number, SeccompRule[]>()
  for (const rule of profile.syscalls ?? [])
    for (const name of rule.names) {
      const number = numbers.get(name)
      if (number !== undefined) rules.set(number, [...(rules.get(number) ?? []), rule])
    }
  const otherwise = actionOf(profile.defaultAction, profile.defaultErrnoRet)
  if (otherwise === undefined) return undefined
  const ranges: Range[] = []
  const last = Math.max(...rules.keys())
  for (let number = 0; number <= last + 1; number++) {
    const code = compileRules(rules.get(number) ?? [], otherwise)
    if (code === undefined) return undefined
    const key = JSON.stringify(code)
    if (ranges.at(-1)?.key !== key) ranges.push({ from: number, code, key })
  }
  return search(ranges)
}

/** A binary search over the ranges of call numbers. */
function search(ranges: readonly Range[]): readonly Instruction[] {
  const middle = ranges.length >> 1
  const [first] = ranges
  const pivot = ranges[middle]
  if (first === undefined || pivot === undefined) return []
  return ranges.length === 1 ? first.code : branch(JGE, pivot.from, search(ranges.slice(middle)), search(ranges.slice(0, middle)))
}

function compileRules(rules: readonly SeccompRule[], otherwise: number): readonly Instruction[] | undefined {
  const code: Instruction[] = []
  for (const rule of rules) {
    const action = actionOf(rule.action, rule.errnoRet)
    if (action === undefined) return undefined
    const [arg, ...more] = rule.args ?? []
    if (arg === undefined) return [...code, give(action)]
    const test = more.length === 0 ? compileArgument(arg, give(action)) : undefined
    if (test === undefined) return undefined
    code.push(...test)
  }
  return [...code, give(otherwise)]
}

/** Runs into `then` when the argument matches, else past it. */
function compileArgument({ index, value, valueTwo = 0, op }: SeccompArg, then: Instruction): readonly Instruction[] | undefined {
  if (op !== 'SCMP_CMP_EQ' && op !== 'SCMP_CMP_MASKED_EQ') return undefined
  const [mask, wanted] = op === 'SCMP_CMP_EQ' ? [2n ** 64n - 1n, BigInt(value)] : [BigInt(value), BigInt(valueTwo)]
  const parts = [0n, 32n].flatMap((shift) => {
    const [partMask, part] = [Number((mask >> shift) & 0xffffffffn), Number((wanted >> shift) & 0xffffffffn)]
    if (partMask === 0) return []
    const masking = partMask === 0xffffffff ? [] : [instruction(AND, partMask)]
    return [[instruction(LOAD, argumentOffset(index) + Number(shift / 8n)), ...masking, instruction(JEQ, part)]]
  })
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  let done = 0
  return [
    ...parts.flatMap((part) => {
      done += part.length
      // From the comparison, the last of its part, over the rest of the parts and over `then`.
      const jf = total - done + 1
      return part.map((step) => (step.code === JEQ ? { ...step, jf } : step))
    }),
    then,
  ]
}
