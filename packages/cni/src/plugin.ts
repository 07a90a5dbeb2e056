// Finding plugins and running them: root programs whose result is not to be trusted to come, to end, or to make sense.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicMs } from '@coracle/base/clock'
import { isErrno } from '@coracle/base/errno'
import { CodedError, codeOf, explain, precondition } from '@coracle/base/errors'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import { stage } from '@coracle/base/stages'
import type { Processes, RunResult } from '@coracle/host'
import { parsePluginType } from './conflist.ts'
import { type CniCommand, CniError, codeOfPluginError, oneLine, type PluginError } from './errors.ts'

/** Largest answer of a plugin. */
const maxOutputBytes = 1024 * 1024

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface PluginCall {
  readonly command: CniCommand
  readonly plugin: string
  /** For messages: `pod default/web`, `network coracle`. */
  readonly subject: string
  readonly config: JsonObject
  /** CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS: what the command takes. */
  readonly env: Readonly<Record<string, string>>
  /** A reading of `monotonicMs` at which the plugin and what it started is killed. */
  readonly deadlineMs: number
}

export interface PluginRunner {
  /** The plugin's program. Throws `failed_precondition` naming the plugin and why each directory has none. */
  find(plugin: string): string
  /**
   * Runs one command; resolves to what the plugin printed, unparsed, once it exited with 0.
   * Throws CniError: the plugin's own words, a signal, the deadline (`deadline_exceeded`).
   */
  run(call: PluginCall, signal: AbortSignal): Promise<Buffer>
}

export function createPluginRunner(pluginDirs: readonly string[], processes: Pick<Processes, 'run'>): PluginRunner {
  const find = (plugin: string): string => findPlugin(plugin, pluginDirs)
  return {
    find,
    run: async (call, signal) => {
      const startedMs = monotonicMs()
      try {
        return await stage([`CNI ${call.command}`, `plugin ${call.plugin}`], async () => {
          const result = await processes.run({
            argv: [find(call.plugin)],
            env: { PATH: searchPath, ...call.env, CNI_COMMAND: call.command, CNI_PATH: pluginDirs.join(':') },
            stdin: JSON.stringify(call.config),
            timeoutMs: Math.max(1, Math.ceil(call.deadlineMs - startedMs)),
            maxOutputBytes,
            signal,
          })
          if (result.exitCode === 0) return checkedOutput(call, result)
          throw failure(call, result)
        })
      } catch (err) {
        if (err instanceof CniError) throw err
        throw interrupted(call, { err, signal, startedMs })
      }
    },
  }
}

/** Parses what ADD printed. Throws CniError. */
export function parseAnswer(call: PluginCall, output: Buffer): JsonObject {
  if (output.toString('utf8').trim() === '') throw fail(call, 'exited with 0 but printed no result')
  let json: unknown
  try {
    json = parseJson('result', output, { maxBytes: maxOutputBytes })
  } catch (err) {
    // The cause repeats what was printed.
    throw fail(
      call,
      `${err instanceof CodedError ? err.message : explain(err)}: ${oneLine(output.toString('utf8', 0, 4096), 160)}`,
    )
  }
  if (!isObject(json)) throw fail(call, `printed no JSON object: ${oneLine(output.toString('utf8', 0, 4096), 160)}`)
  return json
}

/** Regular, executable, owned by root (or by who runs this process) and writable by nobody else. Links are followed: some packages ship one program under many names. */
function findPlugin(plugin: string, pluginDirs: readonly string[]): string {
  parsePluginType('plugin', plugin)
  const reasons: string[] = []
  for (const directory of pluginDirs) {
    const path = join(directory, plugin)
    try {
      const problem = problemOfProgram(path)
      if (problem === undefined) return path
      reasons.push(`${path} ${problem}`)
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw err
    }
  }
  if (reasons.length > 0) throw precondition(`cni plugin ${plugin} cannot be used: ${reasons.join('; ')}`)
  throw precondition(`cni plugin ${plugin} is missing: not in ${pluginDirs.join(', ')}`)
}

function problemOfProgram(path: string): string | undefined {
  const stats = statSync(path)
  if (!stats.isFile()) return 'is not a regular file'
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) return `is owned by uid ${stats.uid}, not by root`
  if ((stats.mode & 0o022) !== 0) return 'can be written by others than its owner'
  if ((stats.mode & 0o111) === 0) return 'is not executable'
  return undefined
}

function checkedOutput(call: PluginCall, result: RunResult): Buffer {
  if (result.stdout.length >= maxOutputBytes && result.truncated) throw fail(call, 'printed more than 1 MiB')
  return result.stdout
}

function failure(call: PluginCall, result: RunResult): CniError {
  const said = pluginError(result.stdout)
  const ended = result.signal === null ? `exited with ${result.exitCode}` : `was ended by ${result.signal}`
  if (said !== undefined) {
    const reason = [said.msg === '' ? `error ${said.code}` : said.msg, said.details].filter((part) => part !== '').join(': ')
    return new CniError({ ...call, reason, code: codeOfPluginError(said), pluginError: said })
  }
  const flood = result.truncated ? ' after printing more than 1 MiB' : ''
  const words = oneLine(result.stderr.toString('utf8', 0, 4096)) || oneLine(result.stdout.toString('utf8', 0, 4096))
  return fail(call, `${ended}${flood}${words === '' ? ' without saying why' : `: ${words}`}`)
}

function pluginError(stdout: Buffer): PluginError | undefined {
  try {
    const json = parseJson('error', stdout, { maxBytes: maxOutputBytes })
    if (!isObject(json) || (json['code'] === undefined && json['msg'] === undefined)) return undefined
    const { code, msg, details } = json
    return {
      code: typeof code === 'number' ? code : 999,
      msg: oneLine(typeof msg === 'string' ? msg : ''),
      details: oneLine(typeof details === 'string' ? details : ''),
    }
  } catch {
    return undefined
  }
}

function interrupted(call: PluginCall, what: { err: unknown; signal: AbortSignal; startedMs: number }): CniError {
  const seconds = ((monotonicMs() - what.startedMs) / 1000).toFixed(1)
  if (what.signal.aborted) {
    const code = codeOf(what.signal.reason)
    return new CniError({ ...call, reason: `given up after ${seconds} s and killed`, code }, { cause: what.signal.reason })
  }
  if (codeOf(what.err) === 'deadline_exceeded') {
    return new CniError({ ...call, reason: `did not finish in time, killed after ${seconds} s`, code: 'deadline_exceeded' })
  }
  if (what.err instanceof CodedError && what.err.code === 'failed_precondition') {
    return new CniError({ ...call, reason: what.err.message, code: what.err.code })
  }
  return new CniError({ ...call, reason: 'could not be run', code: codeOf(what.err) }, { cause: what.err })
}

const fail = (call: PluginCall, reason: string): CniError => new CniError({ ...call, reason, code: 'internal' })
