// A signal to the runner of tests: the files under way end their worlds themselves, the runner takes what they could not, and says what was cut.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownerName } from '@coracle/testkit/owner'
import { reclaim } from '@coracle/testkit/reclaim'
import { type EndingSignal, exitCodeOf, handleSignals } from '@coracle/testkit/signals'

export interface Running {
  /** Those under way are found among them. */
  readonly files: readonly string[]
  /** `N passed, N failed, N skipped` so far. */
  readonly tally: () => string
}

export interface Interruption {
  /** Aborted by the first signal. The process then ends by itself. */
  readonly signal: AbortSignal
  /** What to say of what runs now. */
  running: Running
}

/** Longer than a world takes to end in order. */
const patienceMs = 90_000

/** To be called before anything is made on the machine. */
export function takeInterruptions(): Interruption {
  const first = new AbortController()
  const hurry = new AbortController()
  const interruption: Interruption = { signal: first.signal, running: { files: [], tally: () => '' } }
  handleSignals((signal) => {
    if (first.signal.aborted) return hurry.abort()
    first.abort()
    void end(signal, interruption.running, hurry.signal)
  })
  return interruption
}

async function end(signal: EndingSignal, { files, tally }: Running, hurry: AbortSignal): Promise<never> {
  const under = children().flatMap(({ pid, words }) => {
    const file = files.find((name) => words.some((word) => word === name || word.endsWith(`/${name}`)))
    return file === undefined ? [] : [{ pid, file }]
  })
  const names = under.map(({ file }) => file).join(', ')
  console.log(`\n${signal}: ending ${names || 'the run'} and all they have made; a second signal hurries`)
  for (const { pid } of under) kill(pid, 'SIGTERM')
  const deadline = performance.now() + patienceMs
  const living = () => under.filter(({ pid }) => children().some((child) => child.pid === pid))
  while (living().length > 0 && performance.now() < deadline && !hurry.aborted) await sleep(50)
  for (const { pid } of living()) {
    // Also what undoes their world: we take over.
    for (const child of children(pid))
      if (child.words.some((word) => word.endsWith('reclaim-program.ts'))) kill(child.pid, 'SIGKILL')
    kill(pid, 'SIGKILL')
  }
  while (living().length > 0) await sleep(20)
  const { words } = await reclaim({ owner: ownerName(process.pid) ?? '', hurry })
  if (words !== '') console.log(words)
  console.log(`interrupted by ${signal}: ${names || 'between two files'}`)
  console.log(`${tally()}, ${under.length} interrupted`)
  process.exit(exitCodeOf(signal))
}

/** A zombie is gone. */
function children(of = process.pid): { readonly pid: number; readonly words: readonly string[] }[] {
  return readdirSync('/proc')
    .filter(
      (name) =>
        /^\d+$/.test(name) && new RegExp(`^State:\\s+[^ZX][^]*^PPid:\\s+${of}$`, 'm').test(readText(`/proc/${name}/status`)),
    )
    .map((name) => ({ pid: Number(name), words: readText(`/proc/${name}/cmdline`).split('\0') }))
}

function kill(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already.
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
