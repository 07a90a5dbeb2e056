// What a group of processes costs: CPU time by a cgroup of its own (cgroup v2, also beside v1), memory by looking often.
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { belong, type Owned } from '@coracle/testkit/belongings'
import { rssMb } from '../processes.ts'

const lookMs = 50

export interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
  /** The most that all processes together had resident. */
  readonly peakMb: number
  /** The most that the first process of the group had. */
  readonly daemonPeakMb: number
}

export class Meter implements Disposable {
  readonly #directory: string
  readonly #owned: Owned

  constructor(name: string) {
    const root = existsSync('/sys/fs/cgroup/unified/cgroup.procs') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup'
    this.#directory = `${root}/${name}`
    this.#owned = belong({ kind: 'cgroup', path: `/${name}` })
    mkdirSync(this.#directory)
  }

  /** The same program in this group, with its children. */
  within(argv: readonly string[]): [string, ...string[]] {
    return ['/bin/sh', '-c', `echo $$ >${this.#directory}/cgroup.procs && exec "$@"`, 'sh', ...argv]
  }

  async measure(work: () => Promise<unknown>, daemonPid?: number): Promise<Cost> {
    let [peakMb, daemonPeakMb] = [0, 0]
    const look = () => {
      const pids = readFileSync(`${this.#directory}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number)
      peakMb = Math.max(peakMb, rssMb(pids))
      daemonPeakMb = Math.max(daemonPeakMb, rssMb(daemonPid === undefined ? pids : [daemonPid]))
    }
    const timer = setInterval(look, lookMs)
    const [startedMs, cpuBefore] = [performance.now(), this.#cpuSeconds()]
    try {
      await work()
    } finally {
      clearInterval(timer)
    }
    return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds: this.#cpuSeconds() - cpuBefore, peakMb, daemonPeakMb }
  }

  [Symbol.dispose](): void {
    try {
      rmdirSync(this.#directory)
      this.#owned.release()
    } catch (err) {
      console.error(`a cgroup stays behind: ${String(err)}`)
    }
  }

  #cpuSeconds(): number {
    return Number(/^usage_usec (\d+)/m.exec(readFileSync(`${this.#directory}/cpu.stat`, 'utf8'))?.[1] ?? 0) / 1e6
  }
}
