// A program that makes system calls itself: perl of the host, below a mounted /usr. Numbers are those of x86-64.

import assert from 'node:assert/strict'
import { syscallProbe } from '@coracle/testkit/syscall-probe'
import { type ContainerInit, type ContainerUnderTest, hostUsr, type PodUnderTest } from './suite.ts'

/** Calls that a profile has an opinion on, with arguments that harm nothing where one goes through. */
const calls: Readonly<Record<string, readonly number[]>> = {
  getpid: [39],
  socket_inet: [41, 2, 1, 0],
  socket_alg: [41, 38, 5, 0],
  socket_vsock: [41, 40, 1, 0],
  socket_alg_high_bit: [41, 38 + 2 ** 32, 5, 0],
  io_uring_setup: [425, 1, 0],
  add_key: [248, 0, 0, 0, 0, 0],
  keyctl: [250, 0, 0],
  request_key: [249, 0, 0, 0, 0],
  unshare_user: [272, 0x10000000],
  unshare_net: [272, 0x40000000],
  setns: [308, -1, 0],
  mount: [165, 0, 0, 0, 0, 0],
  clone3: [435, 0, 0],
  clone_newuser: [56, 0x10000000 + 17, 0, 0, 0, 0],
  bpf: [321, 0, 0, 0],
  userfaultfd: [323, 0],
}

export type Call = keyof typeof calls

const script = syscallProbe(calls)

export const EPERM = '1'
export const ENOSYS = '38'
export const EAFNOSUPPORT = '97'

/** What each call answers in the container: `ok` or the errno. Needs an image with `hostLibraries` and the mount `hostUsr`. */
export async function probeCalls(container: ContainerUnderTest): Promise<Readonly<Record<string, string>>> {
  const { stdout, stderr, exitCode } = await container.exec(['/usr/bin/perl', '-e', script])
  assert.equal(exitCode, 0, stderr)
  return parse(stdout)
}

/** The same, asked by the init of a container made for it. */
export async function probeInit(pod: PodUnderTest, init: ContainerInit): Promise<Readonly<Record<string, string>>> {
  const container = await pod.run({ ...init, command: ['/usr/bin/perl', '-e', script] })
  const { exitCode } = await container.exited()
  assert.equal(exitCode, 0, container.output('stderr'))
  return parse(container.output())
}

function parse(output: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    output
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  )
}

/** A sleeping container in which `probeCalls` works. */
export const probing = (image: string): ContainerInit => ({
  image: { image },
  command: ['sleep', '10000'],
  mounts: [hostUsr],
})
