// One server under measurement: a CRI socket, a runtime handler, and the processes behind it.
import type { CriClient } from '@coracle/cri-api'
import type { BenchImages } from './images.ts'

export interface Target {
  readonly name: string
  readonly client: CriClient
  readonly socket: string
  /** `runtime_handler` of its pods. Empty: the server's default. */
  readonly handler: string
  /** Pid of the server. */
  readonly daemonPid: number
  /** Targets with the same daemon share its memory figures. */
  readonly daemon: string
  readonly images: BenchImages
  /** For pod log directories. */
  readonly logRoot: string
  /** Where it tells metrics of itself, if it does. */
  readonly metricsPort?: number
  /** Parent of the pods' cgroups. */
  readonly cgroupParent: string
}

/** The first target of each server: for what does not depend on the runtime handler. */
export function onePerDaemon(targets: readonly Target[]): readonly Target[] {
  const preferred = targets.toSorted((a, b) => Number(a.handler !== '') - Number(b.handler !== ''))
  const chosen = new Map(preferred.toReversed().map((target) => [target.daemon, target]))
  return targets.filter((target) => chosen.get(target.daemon) === target)
}
