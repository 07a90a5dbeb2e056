// SIGINT, SIGTERM and SIGHUP for whatever makes things on the machine: everything is undone before the process ends.
import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

export const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
export type EndingSignal = (typeof endingSignals)[number]

const program = fileURLToPath(new URL('./reclaim-program.ts', import.meta.url))

/** What a shell says of a process that a signal ended. */
export const exitCodeOf = (signal: EndingSignal): number => 128 + constants.signals[signal]

let handled = false

/** Whoever has an order of his own to keep says so before anything is made, and gets each signal. */
export function handleSignals(handler: (signal: EndingSignal) => void): void {
  if (handled) throw new Error('signals are handled already')
  handled = true
  for (const signal of endingSignals) process.on(signal, handler)
}

/** Unless somebody handles them: on a signal, what this process owns is taken away and the process ends with 128 + the signal's number. */
export function undoOnSignal(): void {
  if (handled) return
  handleSignals((signal) => {
    undoNow(process.pid)
    process.exit(exitCodeOf(signal))
  })
}

/**
 * Takes away what the process owns, from outside: it stands still meanwhile if it is this one, so that nothing of it can interfere. A
 * second Ctrl-C reaches the other process, too, and hurries it.
 */
export function undoNow(pid: number): void {
  spawnSync(process.execPath, [...quiet, program, String(pid)], { stdio: ['ignore', 'inherit', 'inherit'] })
}

const quiet = ['--disable-warning=ExperimentalWarning']
