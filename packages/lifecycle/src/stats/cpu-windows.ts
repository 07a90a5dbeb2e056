/** A shorter time tells more of the kernel's own rhythm than of the container. */
const shortestMs = 1000
/** A container that is first seen this soon after its start has the time since as its window. */
const youngMs = 60_000

interface Window {
  readonly beganMs: number
  readonly cpuNs: number
  /** Of the window before this one. */
  readonly nanoCores: number | undefined
}

/** CPU use as a rate: each counter against its own reading of a second ago or more. */
export class CpuWindows {
  readonly #windows = new Map<string, Window>()

  /**
   * Nanoseconds of CPU per second. Between two windows the last rate is told again; undefined before there is one.
   * `nowMs` is monotonic, `ageMs` the time since the start of what is counted.
   */
  rate(id: string, cpuNs: number, nowMs: number, ageMs: number): number | undefined {
    const last = this.#windows.get(id)
    if (last === undefined || cpuNs < last.cpuNs) {
      const nanoCores = ageMs >= shortestMs && ageMs <= youngMs ? Math.round((cpuNs * 1000) / ageMs) : undefined
      this.#windows.set(id, { beganMs: nowMs, cpuNs, nanoCores })
      return nanoCores
    }
    const elapsedMs = nowMs - last.beganMs
    if (elapsedMs < shortestMs) return last.nanoCores
    const nanoCores = Math.round(((cpuNs - last.cpuNs) * 1000) / elapsedMs)
    this.#windows.set(id, { beganMs: nowMs, cpuNs, nanoCores })
    return nanoCores
  }

  /** Forgets what is gone. */
  prune(exists: (id: string) => boolean): void {
    for (const id of this.#windows.keys()) if (!exists(id)) this.#windows.delete(id)
  }

  get size(): number {
    return this.#windows.size
  }
}
