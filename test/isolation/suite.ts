// What every isolation test stands on: a node, and its pods under each runtime handler, seen from the kernel and from inside.
import { existsSync, readlinkSync } from 'node:fs'
import { before, describe } from 'node:test'
import { type ContainerIsolationResponse, Isolation } from '@coracle/cri-api/isolation'
import { busyboxLayer } from '@coracle/testkit/busybox-images'
import { eventually } from '@coracle/testkit/eventually'
import type { NodeOptions } from '@coracle/testkit/node'
import type { TarEntry } from '@coracle/testkit/tar'
import type { ImageSource } from '@coracle/testkit/test-image'
import { type ContainerInit, type ContainerUnderTest, type Cri, criSuite, type PodInit, type PodUnderTest } from '../cri/suite.ts'
import { type Handler, handlers } from './differences.ts'

/** Defines the same tests for each handler, on one node. */
export function isolationSuite(name: string, define: (bed: Bed) => void, options: NodeOptions = {}): void {
  criSuite(
    name,
    (cri) => {
      for (const handler of handlers)
        describe(handler, skipUnless(handler), () => {
          define(new Bed(cri, handler))
        })
    },
    options,
  )
}

const programs = { crun: '/usr/bin/crun', runc: '/usr/sbin/runc', runsc: '/usr/bin/runsc' } as const

const skipUnless = (handler: Handler) => ({
  // In the rings, which set everything up, its absence is a failure.
  skip: existsSync(programs[handler]) || process.env['TEST_ROOT'] !== undefined ? false : `${programs[handler]} is not installed`,
})

export class Bed {
  readonly cri: Cri
  readonly handler: Handler

  constructor(cri: Cri, handler: Handler) {
    this.cri = cri
    this.handler = handler
  }

  /** Whether containers have a kernel of their own, so that only their sandbox is seen from outside. */
  get sandboxed(): boolean {
    return this.handler === 'runsc'
  }

  pod(change: PodInit = {}): Promise<PodUnderTest> {
    return this.cri.pod(change, this.handler)
  }

  /** What the kernel says of the container's own program. */
  inspect(container: ContainerUnderTest): Promise<ContainerIsolationResponse> {
    return eventually('the program runs', async () => {
      const found = await inspectIsolation(this.cri, container.id)
      // After its start the runtime's own code still runs in it for a moment.
      return !/crun|runc/.test(readlinkSync(`/proc/${found.pid}/exe`)) && found
    })
  }

  /** Pushes an image made of busybox and what `change` adds, before the tests of this suite; gives its reference and has it pulled. */
  image(name: string, change: Partial<ImageSource> = {}): () => string {
    let reference = ''
    before(async () => {
      reference = await pushImage(this.cri, `isolation/${name}-${this.handler}`, change)
    })
    return () => reference
  }
}

/** An image with these and a container with this mount run programs of the host that need its libraries. */
export const hostLibraries: readonly TarEntry[] = [
  { path: 'lib', type: 'symlink', link: 'usr/lib' },
  { path: 'lib64', type: 'symlink', link: 'usr/lib64' },
]
export const hostUsr = { containerPath: '/usr', hostPath: '/usr', readonly: true } as const

export const inspectIsolation = (cri: Cri, containerId: string): Promise<ContainerIsolationResponse> =>
  cri.node.client.service(Isolation).containerIsolation({ containerId })

export async function pushImage(cri: Cri, repository: string, change: Partial<ImageSource>): Promise<string> {
  const { layers = [], config = {}, ...rest } = change
  const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  await cri.registry.push(repository, '1', {
    layers: [await busyboxLayer(), ...layers],
    config: { Env: [PATH], Cmd: ['sh'], ...config },
    ...rest,
  })
  const reference = `${cri.registry.host}/${repository}:1`
  await cri.image.pullImage({ image: { image: reference } })
  return reference
}

/** /proc/PID/status as the container itself reads it. */
export interface InsideStatus {
  readonly uids: readonly number[]
  readonly gids: readonly number[]
  readonly groups: readonly number[]
  /** Hexadecimal masks and other words by field. */
  field(name: string): string
}

export async function statusInside(container: ContainerUnderTest, process: 'init' | 'exec'): Promise<InsideStatus> {
  await programRuns(container)
  const text = await container.sh(process === 'init' ? 'cat /proc/1/status' : 'exec cat /proc/self/status')
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number)
  return { uids: numbers('Uid'), gids: numbers('Gid'), groups: numbers('Groups'), field }
}

/** Resolves when the init is what was asked for, not the runtime's own code any more. */
export const programRuns = (container: ContainerUnderTest): Promise<true> =>
  eventually('the program runs', async () => !/crun|runc|exe/.test(await container.sh('cat /proc/1/comm')))

export const sorted = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b)

/** One limit file of the container's cgroup, as the kernel says it; undefined where there is none. */
export const limitOf = (found: ContainerIsolationResponse, file: string): string | undefined =>
  found.cgroups.map(({ limits }) => limits[file]).find((value) => value !== undefined)

/** The mount that a path inside is on when it is itself a mount point: the last one there. */
export const mountAt = (found: ContainerIsolationResponse, target: string) =>
  found.mounts.findLast((mount) => mount.target === target)

export type { ContainerInit, ContainerUnderTest, PodInit, PodUnderTest }
