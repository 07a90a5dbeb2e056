// The RuntimeDefault profile (seccomp(2), runtime-spec config-linux.md#seccomp).
import type { Seccomp, SeccompRule } from '@coracle/oci-spec/runtime-spec'
import { allowedSyscalls, deniedSyscalls, syscallsByCapability } from './seccomp-syscalls.ts'

const allow = 'SCMP_ACT_ALLOW'
const errno = 'SCMP_ACT_ERRNO'
const EPERM = 1
const ENOSYS = 38

// x32 is left out: its calls then end the process, and no distribution builds for it. Other machines have no second table worth opening.
const architectures: readonly string[] =
  process.arch === 'arm64' ? ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'] : ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const namespaceFlags: readonly number[] = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]

const low32 = 0xffffffff

/**
 * Address families 0 to 47 but AF_ALG (38) and AF_VSOCK (40), as masks: value is the mask, valueTwo what must remain. The kernel reads the
 * family as 32 bits while the filter sees 64, so a plain "not equal" could be passed by setting a high bit.
 */
const socketFamilies: readonly (readonly [mask: number, value: number])[] = [
  [low32 - 31, 0],
  [low32 - 3, 32],
  [low32 - 1, 36],
  [low32, 39],
  [low32, 41],
  [low32 - 1, 42],
  [low32 - 3, 44],
]

// personality(2) values that change no protection: Linux, 32 bit, uname26, both, and the query.
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

const masked = (index: number, mask: number, value: number) =>
  ({ index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' }) as const

/** For a process that may hold `capabilities` (`CAP_…`). Calls that no list knows fail with ENOSYS, so that programs fall back to older ones. */
export function defaultSeccomp(capabilities: readonly string[]): Seccomp {
  const held = new Set(capabilities)
  const permitted = syscallsByCapability.filter(({ anyOf }) => anyOf.some((name) => held.has(name))).flatMap(({ names }) => names)
  const allowed = new Set([...allowedSyscalls, ...permitted])
  const gated = syscallsByCapability.flatMap(({ names }) => names)
  const denied = new Set(
    [...deniedSyscalls, ...gated].filter((name) => !allowed.has(name) && name !== 'clone' && name !== 'clone3'),
  )
  return {
    defaultAction: errno,
    defaultErrnoRet: ENOSYS,
    architectures,
    syscalls: [
      { names: [...allowed], action: allow },
      { names: [...denied], action: errno, errnoRet: EPERM },
      ...cloneRules(held.has('CAP_SYS_ADMIN')),
      ...socketFamilies.map(
        ([mask, value]): SeccompRule => ({ names: ['socket'], action: allow, args: [masked(0, mask, value)] }),
      ),
      ...deniedFamilies,
      ...personalities.map(
        (value): SeccompRule => ({
          names: ['personality'],
          action: allow,
          args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
        }),
      ),
    ],
  }
}

// The families left out, with an errno of their own: without it they would fail with ENOSYS, as if there were no sockets at all.
const deniedFamilies: readonly SeccompRule[] = [38, 40].map((family) => ({
  names: ['socket'],
  action: errno,
  errnoRet: EPERM,
  args: [masked(0, low32, family)],
}))

// clone3 takes its flags in memory where a filter cannot see them: it is left to the default's ENOSYS, which makes libc use clone. For clone
// the flags are named one by one, so that a program hears "not permitted" as it does from unshare.
const cloneRules = (admin: boolean): readonly SeccompRule[] =>
  admin
    ? []
    : [
        {
          names: ['clone'],
          action: allow,
          args: [
            masked(
              0,
              namespaceFlags.reduce((all, flag) => all | flag),
              0,
            ),
          ],
        },
        ...namespaceFlags.map(
          (flag): SeccompRule => ({ names: ['clone'], action: errno, errnoRet: EPERM, args: [masked(0, flag, flag)] }),
        ),
      ]
