import { ExitWatch } from './exit-watch.ts'
import type { Processes } from './host.ts'
import { sendSignal } from './pidfd.ts'
import { pipe } from './pipe.ts'
import { bootId, descendants, identify, isAlive, receives, setOomScoreAdj } from './proc.ts'
import { run, start, uncollected } from './spawn.ts'

export function createProcesses(): Processes {
  const exits = new ExitWatch()
  return {
    run,
    start,
    pipe,
    identify,
    receives,
    isAlive,
    signal: sendSignal,
    waitForExit: (process, signal) => exits.wait(process, signal),
    descendants,
    bootId,
    setOomScoreAdj,
    stuck: uncollected,
  }
}
