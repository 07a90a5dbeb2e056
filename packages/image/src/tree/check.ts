// The daemon's side of the checking program.
import { fileURLToPath } from 'node:url'
import { CodedError } from '@coracle/base/errors'
import type { Processes } from '@coracle/host'
import type { CheckTasks, LayerVerdict } from './check-tasks.ts'

const program = fileURLToPath(new URL('./check-program.ts', import.meta.url))
// Content of a terabyte takes its time; who asked can leave.
const limitMs = 24 * 3600_000
const maxOutputBytes = 32 * 1024 * 1024

export interface CheckDeps {
  readonly processes: Pick<Processes, 'run'>
  /** For compiled code of the program. */
  readonly cacheDirectory: string
}

/** Holds layers against their tree records. Rejects when they could not be looked at; damage is told in the verdicts. */
export async function checkTrees(
  { processes, cacheDirectory }: CheckDeps,
  tasks: CheckTasks,
  signal: AbortSignal,
): Promise<readonly LayerVerdict[]> {
  if (tasks.tasks.length === 0) return []
  const { exitCode, stdout, stderr, truncated } = await processes.run({
    argv: [process.execPath, '--disable-warning=ExperimentalWarning', program],
    env: { NODE_COMPILE_CACHE: cacheDirectory },
    stdin: JSON.stringify(tasks),
    timeoutMs: limitMs,
    maxOutputBytes,
    signal,
  })
  if (exitCode !== 0 || truncated)
    throw new CodedError('internal', `check layers: ${stderr.toString('utf8').trim().slice(-1000) || `exit code ${exitCode}`}`)
  // The program is ours.
  return stdout
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LayerVerdict)
}
