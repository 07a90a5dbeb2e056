// The default seccomp profile as seen by a program that makes the calls itself: perl of the host (Debian's perl-base), below a mounted /usr.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import { syscallProbe } from '@coracle/testkit/syscall-probe'
import { container, pod, type SecurityInit } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

// x86-64 numbers and arguments of calls that the profile has an opinion on. Arguments are harmless where a call goes through.
const calls: Readonly<Record<string, readonly number[]>> = {
  getpid: [39],
  socket_unix: [41, 1, 1, 0],
  socket_inet: [41, 2, 1, 0],
  socket_netlink: [41, 16, 3, 0],
  socket_packet: [41, 17, 3, 0],
  socket_alg: [41, 38, 5, 0],
  socket_vsock: [41, 40, 1, 0],
  // The kernel cuts the family to 32 bits.
  socket_alg_high_bit: [41, 38 + 2 ** 32, 5, 0],
  socket_vsock_high_bit: [41, 40 + 2 ** 40, 1, 0],
  io_uring_setup: [425, 1, 0],
  add_key: [248, 0, 0, 0, 0, 0],
  keyctl: [250, 0, 0],
  request_key: [249, 0, 0, 0, 0],
  userfaultfd: [323, 0],
  bpf: [321, 0, 0, 0],
  perf_event_open: [298, 0, 0, 0, 0, 0],
  unshare_user: [272, 0x10000000],
  unshare_net: [272, 0x40000000],
  setns: [308, -1, 0],
  mount: [165, 0, 0, 0, 0, 0],
  umount2: [166, 0, 0],
  move_mount: [429, -1, 0, -1, 0, 0],
  pivot_root: [155, 0, 0],
  clone3: [435, 0, 0],
  clone_newuser: [56, 0x10000000 + 17, 0, 0, 0, 0],
  kexec_load: [246, 0, 0, 0, 0],
  init_module: [175, 0, 0, 0],
  open_by_handle_at: [304, -1, 0, 0],
  settimeofday: [164, 0, 0],
  chroot: [161, 0],
  ptrace: [101, 99999, 0, 0, 0],
  personality_query: [135, 0xffffffff],
  personality_no_randomize: [135, 0x0040000],
  reboot: [169, 0, 0, 0],
  syslog: [103, 99, 0, 0],
  swapon: [167, 0, 0],
  fchmodat2: [452, -1, 0, 0, 0],
  future_call: [999],
}

const script = syscallProbe(calls)

const EPERM = '1'
const ENOSYS = '38'

const skip = process.arch === 'x64' ? needsRoot() : { skip: 'call numbers are those of x86-64' }
for (const [runtime, compiledSeccomp] of [
  ['/usr/bin/crun', true],
  ['/usr/bin/crun', false],
  ['/usr/sbin/runc', false],
] as const) {
  describe(`the default seccomp profile under ${runtime}${compiledSeccomp ? ', ready made' : ''}`, skip, () => {
    let sandbox: Sandbox
    before(async () => {
      sandbox = await Sandbox.create()
    })
    after(async () => {
      await sandbox[Symbol.asyncDispose]()
    })

    async function results(securityContext: SecurityInit): Promise<Readonly<Record<string, string>>> {
      const config = container({
        command: ['/usr/bin/perl', '-e', script],
        mounts: [{ containerPath: '/usr', hostPath: '/usr', readonly: true }],
        linux: { securityContext },
      })
      const output = await sandbox.run(runtime, {
        config,
        compiledSeccomp,
        pod: { ...sandbox.pod, config: pod({ linux: { securityContext: { privileged: true } } }) },
        sources: new Map([['/usr', { type: 'directory', propagation: 'private' }]]),
      })
      assert.equal(output.exitCode, 0, output.stderr)
      return Object.fromEntries(
        output.stdout
          .trim()
          .split('\n')
          .map((line) => line.split(' ') as [string, string]),
      )
    }

    test('H-33 CVE-2022-0847 CVE-2022-0492: what default capabilities may not call', async () => {
      const got = await results({})
      const denied =
        'clone_newuser socket_alg socket_vsock socket_alg_high_bit socket_vsock_high_bit io_uring_setup add_key keyctl request_key userfaultfd bpf perf_event_open unshare_user unshare_net setns mount umount2 move_mount pivot_root kexec_load init_module open_by_handle_at settimeofday chroot reboot syslog swapon'
      for (const name of denied.split(' '))
        assert.ok(got[name] === EPERM || (got[name] === ENOSYS && name.endsWith('high_bit')), `${name}: ${got[name]}`)
      for (const name of ['clone3', 'personality_no_randomize', 'future_call']) assert.equal(got[name], ENOSYS, name)
      for (const name of ['getpid', 'socket_unix', 'socket_inet', 'socket_netlink', 'personality_query'])
        assert.equal(got[name], 'ok', name)
      // Without NET_RAW, the kernel itself says so.
      assert.equal(got['socket_packet'], EPERM)
      assert.notEqual(got['ptrace'], ENOSYS)
    })

    test('H-33: SYS_ADMIN opens namespaces and mounts, and nothing of what stays closed for all', async () => {
      const got = await results({ capabilities: { addCapabilities: ['SYS_ADMIN'] } })
      for (const name of ['unshare_net', 'clone3', 'setns', 'mount'])
        assert.ok(got[name] !== EPERM && got[name] !== ENOSYS, `${name}: ${got[name]}`)
      for (const name of ['socket_alg', 'socket_vsock', 'io_uring_setup', 'keyctl', 'userfaultfd', 'kexec_load'])
        assert.equal(got[name], EPERM, name)
    })

    test('Unconfined allows them', async () => {
      const got = await results({ seccomp: { profileType: 1 } })
      for (const name of ['keyctl', 'clone3', 'userfaultfd']) assert.notEqual(got[name], ENOSYS, name)
      assert.notEqual(got['keyctl'], EPERM)
    })
  })
}
