// What isolation costs: the start of a pod that asks for nothing special, and of ones that ask for more, under each handler.
import { readFileSync } from 'node:fs'
import type { Bench } from '../bench.ts'
import { removePod, type Shape, startPod } from '../pods.ts'
import type { Metric } from '../recorder.ts'
import type { Target } from '../target.ts'

const own = { network: 0, pid: 1, ipc: 0 } as const
const ids = [{ containerId: 0, hostId: 1_000_000, length: 65_536 }]
const usernsOptions = { mode: 0, uids: ids, gids: ids } as const

const shapes: Readonly<Record<string, (target: Target) => Shape>> = {
  plain: () => ({}),
  userns: () => ({
    podSecurity: { namespaceOptions: { ...own, usernsOptions } },
    containerSecurity: { namespaceOptions: { ...own, usernsOptions } },
  }),
  privileged: () => ({
    podSecurity: { namespaceOptions: own, privileged: true },
    containerSecurity: { namespaceOptions: own, privileged: true },
  }),
  'image volume': ({ images }) => ({
    mounts: [{ containerPath: '/image', image: { image: images.busybox }, readonly: true }],
  }),
  'read-only root': () => ({ containerSecurity: { namespaceOptions: own, readonlyRootfs: true } }),
}

type ShapeName = keyof typeof shapes & string

/** Per round each target starts a pod of each shape; beside its time the difference to the plain one of the same round is kept. */
export async function measureIsolation(bench: Bench): Promise<void> {
  const lanes = await lanesOf(bench)
  const [count, warmUp] = bench.options.quick ? [3, 1] : [30, 3]
  for (let round = -warmUp; round < count; round++)
    for (const { target, can } of lanes) {
      let plainMs: number | undefined
      for (const name of can) {
        bench.signal.throwIfAborted()
        const ms = await timeOf(target, name)
        plainMs ??= ms
        if (round < 0) continue
        bench.recorder.add(metric(`pod start, ${name}`), target.name, ms)
        if (name !== 'plain') bench.recorder.add({ ...metric(`– ${name} over plain`), ratio: false }, target.name, ms - plainMs)
      }
    }
}

const metric = (name: string): Metric => ({ name, unit: 'ms' })

async function timeOf(target: Target, name: ShapeName): Promise<number> {
  const { pod, times } = await startPod(target, shapes[name]?.(target))
  await removePod(target, pod.podId)
  return times.runMs + times.createMs + times.startMs
}

/** Throws when the target refuses the shape, or takes it and does nothing. */
async function tryOut(target: Target, name: ShapeName): Promise<void> {
  const { pod } = await startPod(target, shapes[name]?.(target))
  try {
    if (name !== 'userns') return
    const { info } = await target.client.runtime.containerStatus({ containerId: pod.containerId, verbose: true })
    const pid = /"pid":\s*(\d+)/.exec(info['info'] ?? '')?.[1]
    const map = readFileSync(`/proc/${pid}/uid_map`, 'latin1').trim().split(/\s+/)
    if (map[1] === '0') throw new Error('it takes the mapping and ignores it')
  } finally {
    await removePod(target, pod.podId)
  }
}

interface Lane {
  readonly target: Target
  /** The plain one first. */
  readonly can: readonly ShapeName[]
}

/** The targets, and gVisor beside our own; each with the shapes that it takes: one pod of each is tried. */
async function lanesOf(bench: Bench): Promise<readonly Lane[]> {
  const ours = bench.targets.find(({ name }) => name === 'coracle')
  const { runtimeHandlers } = ours === undefined ? { runtimeHandlers: [] } : await ours.client.runtime.status({})
  const sandboxed =
    ours !== undefined && runtimeHandlers.some(({ name }) => name === 'runsc')
      ? [{ ...ours, name: 'coracle-runsc', handler: 'runsc' }]
      : []
  const lanes: Lane[] = []
  for (const target of [...bench.targets, ...sandboxed]) {
    const can: ShapeName[] = []
    for (const name of Object.keys(shapes)) {
      bench.signal.throwIfAborted()
      try {
        await tryOut(target, name)
        can.push(name)
      } catch (err) {
        bench.say(`${target.name}: no ${name}: ${String(err).slice(0, 200)}`)
      }
    }
    if (can[0] === 'plain') lanes.push({ target, can })
  }
  return lanes
}
