import { delay } from '@coracle/base/signals'
import type { Processes, ProcessIdentity } from './host.ts'
import { sendSignal } from './pidfd.ts'
import { pipe } from './pipe.ts'
import { bootId, descendants, identify, isAlive } from './proc.ts'
import { run, start } from './spawn.ts'

export function createProcesses(): Processes {
  return { run, start, pipe, identify, isAlive, signal: sendSignal, waitForExit, descendants, bootId }
}

async function waitForExit(process: ProcessIdentity, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  while (isAlive(process)) await delay(50, signal)
}
