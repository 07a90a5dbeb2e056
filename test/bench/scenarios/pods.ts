// One pod with one container: started, stopped, removed.
import { type Bench, inTurns } from '../bench.ts'
import { removePod, startPod } from '../pods.ts'
import type { Metric } from '../recorder.ts'

const ms = (name: string, goals?: Metric['goals']): Metric => ({ name, unit: 'ms', ...(goals === undefined ? {} : { goals }) })
const started = ms('pod start', { 'coracle-runc': 0.6, coracle: 0.4 })
const [run, create, start] = [ms('– RunPodSandbox'), ms('– CreateContainer'), ms('– StartContainer')]
const gone = ms('pod stop + remove', { 'coracle-runc': 0.5, coracle: 0.5 })
const [stop, remove] = [ms('– StopPodSandbox'), ms('– RemovePodSandbox')]

export async function measurePods(bench: Bench): Promise<void> {
  const { recorder } = bench
  await inTurns(bench, { count: bench.options.quick ? 5 : 50, warmUp: 5 }, async (target, counts) => {
    const { pod, times } = await startPod(target)
    const { stopMs, removeMs } = await removePod(target, pod.podId)
    if (!counts) return
    recorder.add(started, target.name, times.runMs + times.createMs + times.startMs)
    recorder.add(run, target.name, times.runMs)
    recorder.add(create, target.name, times.createMs)
    recorder.add(start, target.name, times.startMs)
    recorder.add(gone, target.name, stopMs + removeMs)
    recorder.add(stop, target.name, stopMs)
    recorder.add(remove, target.name, removeMs)
  })
}
