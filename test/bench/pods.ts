// Pods as kubelet makes them, with the time that each call took.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { LinuxContainerSecurityContextSchema, LinuxSandboxSecurityContextSchema, MountSchema } from '@coracle/cri-api'
import { timed } from './statistics.ts'
import type { Target } from './target.ts'

export interface BenchPod {
  readonly podId: string
  readonly containerId: string
  readonly config: ReturnType<typeof podConfig>
}

export interface StartTimes {
  readonly runMs: number
  readonly createMs: number
  readonly startMs: number
}

/** What every measured container runs; tells its processes from those of the runtime. */
export const payload = ['/bin/busybox', 'sleep', '31536001'] as const

/** What a pod and its container ask for beside kubelet's defaults. */
export interface Shape {
  readonly podSecurity?: MessageInitShape<typeof LinuxSandboxSecurityContextSchema>
  readonly containerSecurity?: MessageInitShape<typeof LinuxContainerSecurityContextSchema>
  readonly mounts?: MessageInitShape<typeof MountSchema>[]
}

let serial = 0

/** RunPodSandbox, CreateContainer, StartContainer. */
export async function startPod(
  target: Target,
  shape: Shape = {},
): Promise<{ readonly pod: BenchPod; readonly times: StartTimes }> {
  const { runtime } = target.client
  const config = podConfig(target, shape)
  mkdirSync(config.logDirectory, { recursive: true })
  const run = await timed(() => runtime.runPodSandbox({ config, runtimeHandler: target.handler }))
  const podId = run.value.podSandboxId
  const create = await timed(() => createContainer(target, { podId, config, index: 0, shape }))
  const containerId = create.value
  const start = await timed(() => runtime.startContainer({ containerId }))
  return { pod: { podId, containerId, config }, times: { runMs: run.ms, createMs: create.ms, startMs: start.ms } }
}

export async function createContainer(
  target: Target,
  { podId, config, index, shape = {} }: { podId: string; config: BenchPod['config']; index: number; shape?: Shape },
): Promise<string> {
  const { containerId } = await target.client.runtime.createContainer({
    podSandboxId: podId,
    config: {
      metadata: { name: `main${index}`, attempt: 0 },
      image: { image: target.images.busybox },
      command: [...payload],
      labels: { 'io.kubernetes.container.name': `main${index}`, 'io.kubernetes.pod.uid': config.metadata.uid },
      annotations: { 'io.kubernetes.container.restartCount': '0' },
      logPath: `main${index}/0.log`,
      ...(shape.mounts === undefined ? {} : { mounts: shape.mounts }),
      linux: {
        resources: { cpuShares: 2n, oomScoreAdj: 1000n },
        ...(shape.containerSecurity === undefined ? {} : { securityContext: shape.containerSecurity }),
      },
    },
    sandboxConfig: config,
  })
  return containerId
}

/** StopPodSandbox and RemovePodSandbox; the container is killed and removed by them. */
export async function removePod(target: Target, podId: string): Promise<{ readonly stopMs: number; readonly removeMs: number }> {
  const { runtime } = target.client
  const stop = await timed(() => runtime.stopPodSandbox({ podSandboxId: podId }))
  const remove = await timed(() => runtime.removePodSandbox({ podSandboxId: podId }))
  return { stopMs: stop.ms, removeMs: remove.ms }
}

/** Every pod of this benchmark that the server still has, tried three times; other people's pods on the server stay. */
export async function removeAllPods(target: Target): Promise<void> {
  const errors: unknown[] = []
  for (let attempt = 0; attempt < 3; attempt++) {
    const { items } = await target.client.runtime.listPodSandbox({ filter: { labelSelector: { 'coracle.bench': 'yes' } } })
    if (items.length === 0) return
    await inParallel(items, 4, async ({ id }) => {
      await removePod(target, id).catch((err: unknown) => errors.push(err))
    })
  }
  if (errors.length > 0) throw new AggregateError(errors, `${target.name}: pods that cannot be removed`)
}

/** Runs `work` for every item, at most `limit` at once. After a failure no more is started; rejects when nothing runs any more. */
export async function inParallel<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const lanes = Array.from({ length: limit }, async () => {
    for (const item of queue) {
      try {
        await work(item)
      } catch (err) {
        // Takes the rest away from the other lanes.
        for (const _ of queue);
        throw err
      }
    }
  })
  const failed = (await Promise.allSettled(lanes)).find((lane) => lane.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function podConfig(target: Target, shape: Shape) {
  const uid = crypto.randomUUID()
  const name = `bench-${++serial}`
  return {
    metadata: { name, uid, namespace: 'bench', attempt: 0 },
    hostname: name,
    logDirectory: join(target.logRoot, `bench_${name}_${uid}`),
    dnsConfig: { servers: ['10.96.0.10'], searches: ['bench.svc.cluster.local'], options: ['ndots:5'] },
    labels: { 'coracle.bench': 'yes', 'io.kubernetes.pod.name': name, 'io.kubernetes.pod.uid': uid },
    annotations: { 'kubernetes.io/config.source': 'api' },
    linux: {
      cgroupParent: target.cgroupParent,
      // Network and IPC of the pod, PID of each container: kubelet's defaults.
      securityContext: shape.podSecurity ?? { namespaceOptions: { network: 0, pid: 1, ipc: 0 } },
    },
  }
}
