// Programs that keep credentials: docker-credential-NAME get, the host on stdin, JSON on stdout (docker/docker-credential-helpers).
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { CodedError, explain } from '@coracle/base/errors'
import { isObject, parseJson } from '@coracle/base/parse-json'
import type { Processes } from '@coracle/host'
import type { Credentials } from '../images.ts'

export interface HelperSettings {
  /** Where the programs are looked for, in this order. */
  readonly directories: readonly string[]
  readonly timeoutMs: number
  /** The whole environment of the programs: cloud helpers find their region and their token there. */
  readonly environment: Readonly<Record<string, string>>
}

export interface HelperDeps {
  readonly processes: Pick<Processes, 'run'>
  readonly settings: HelperSettings
}

const maxOutputBytes = 64 * 1024

/**
 * Asks the helper `name` for the credentials of `server`; undefined: it has none. Throws `failed_precondition` when there is no such
 * program or it fails, `deadline_exceeded` when it takes too long. Messages hold nothing that the program wrote to stdout.
 */
export async function askHelper(
  { processes, settings }: HelperDeps,
  { name, server }: { readonly name: string; readonly server: string },
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`
  const path = settings.directories.map((directory) => join(directory, program)).find(isProgram)
  if (path === undefined) throw failure(program, `is in none of ${settings.directories.join(', ')}`)
  const result = await processes
    .run({
      argv: [path, 'get'],
      stdin: server,
      env: { ...settings.environment, PATH: settings.environment['PATH'] ?? settings.directories.join(':') },
      timeoutMs: settings.timeoutMs,
      maxOutputBytes,
      signal,
    })
    .catch((err: unknown) => {
      signal.throwIfAborted()
      throw failure(program, explain(err))
    })
  const output = result.stdout.toString('utf8').trim()
  if (result.exitCode !== 0) {
    // How these programs say that they know nothing of the host.
    if (/credentials not found|no credentials|not found in native keychain/i.test(output)) return undefined
    throw failure(program, `ends with ${result.signal ?? `exit code ${result.exitCode}`}${tail(result.stderr)}`)
  }
  if (result.truncated) throw failure(program, `answers with more than ${maxOutputBytes} bytes`)
  return parseAnswer(program, output)
}

const failure = (program: string, why: string): CodedError =>
  new CodedError('failed_precondition', `credential helper ${program} ${why}`)

function tail(stderr: Buffer): string {
  const text = stderr.toString('utf8').trim().split('\n').at(-1) ?? ''
  return text === '' ? '' : `: ${JSON.stringify(text.slice(0, 200)).slice(1, -1)}`
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function parseAnswer(program: string, output: string): Credentials | undefined {
  let answer: unknown
  try {
    answer = parseJson(program, output, { maxBytes: maxOutputBytes })
  } catch {
    throw failure(program, 'answers with something that is no JSON (not shown)')
  }
  const fields = isObject(answer) ? answer : {}
  const { Username: username, Secret: secret } = fields
  if (typeof username !== 'string' || typeof secret !== 'string') throw failure(program, 'answers without Username and Secret')
  if (username === '' && secret === '') return undefined
  return username === '<token>' ? { identityToken: secret } : { username, password: secret }
}
