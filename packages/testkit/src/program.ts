// Programs under test: started, waited for and stopped by pid, never by name. Apart from `host` on purpose: what is under
// test must not be its own witness.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { belong, ownerVariable, thisOwner } from './belongings.ts'
import { ownerName } from './owner.ts'

export interface Program extends AsyncDisposable {
  readonly pid: number
  /** Settles when it has ended. Never rejects. */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>
  running(): boolean
  /** SIGTERM, and SIGKILL after `graceMs`. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>
  /** SIGKILL. Resolves when it is gone. */
  kill9(): Promise<void>
}

export interface ProgramRequest {
  readonly argv: readonly [string, ...string[]]
  /** stdout and stderr are appended to this file. */
  readonly logPath: string
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program and leaves it running. Rejects when it cannot be started. */
export async function startProgram({ argv: [file, ...args], logPath, env }: ProgramRequest): Promise<Program> {
  const log = openSync(logPath, 'a')
  // Without node:test's own variables: a Node program would otherwise report its tests to our runner.
  const { NODE_TEST_CONTEXT: _context, ...inherited } = process.env
  const mark = { [ownerVariable]: thisOwner() }
  const child = spawn(file, args, { stdio: ['ignore', log, log], env: { ...inherited, ...env, ...mark }, detached: true })
  const exited = new Promise<{ exitCode: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }))
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  const name = ownerName(child.pid ?? -1)
  const owned = name === undefined ? undefined : belong({ kind: 'process', owner: name })
  void exited.then(() => owned?.release())
  return programOf(child, exited)
}

function programOf(child: ChildProcess, exited: Program['exited']): Program {
  const running = () => child.exitCode === null && child.signalCode === null
  const kill9 = async () => {
    if (running()) child.kill('SIGKILL')
    await exited
  }
  const stop = async (graceMs = 10_000) => {
    if (running()) child.kill('SIGTERM')
    const gone = await Promise.race([exited, sleep(graceMs, 'late', { ref: false })])
    if (gone === 'late') await kill9()
  }
  return { pid: child.pid ?? -1, exited, running, stop, kill9, [Symbol.asyncDispose]: () => stop() }
}

export interface Output {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. A non-zero exit is a result, not an error; one that cannot be started has exit code 127. */
export function run(argv: readonly [string, ...string[]], timeoutMs = 30_000): Promise<Output> {
  const [file, ...args] = argv
  return new Promise((resolve) => {
    execFile(file, args, { timeout: timeoutMs, maxBuffer: 64 << 20 }, (err, stdout, stderr) => {
      const exitCode = err === null ? 0 : typeof err.code === 'number' ? err.code : 127
      resolve({ exitCode, stdout, stderr })
    })
  })
}
