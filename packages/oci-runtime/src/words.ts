// What a runtime says when it fails, fit for an error message.
import { CodedError, type ErrorCode } from '@coracle/base/errors'

const maxWords = 2048

/** A command of the OCI runtime that failed, with the runtime's own words. */
export class OciRuntimeError extends CodedError {
  override readonly name = 'OciRuntimeError'
  /** Cleaned and capped; empty when it said nothing. */
  readonly words: string
  readonly exitCode: number | null
  constructor(action: string, words: string, exitCode: number | null = null) {
    super(codeOfWords(words), words === '' ? `${action}: ${silence(exitCode)}` : `${action}: ${words}`)
    this.words = words
    this.exitCode = exitCode
  }
}

const silence = (exitCode: number | null): string =>
  exitCode === null ? 'the runtime ended without a word' : `the runtime exited with status ${exitCode} without a word`

// The program that the container or exec should run is missing or cannot be run: the caller's to mend.
const notRunnable =
  /executable file .* not found|eaccess \/.*: permission denied|open executable|exec container process|exec: "[^"]*": |exec format error|failed to load .*: (?:no such file|permission denied)/i

const codeOfWords = (words: string): ErrorCode => (notRunnable.test(words) ? 'failed_precondition' : 'internal')

/**
 * The message in what a runtime wrote to stderr: log decoration of crun (a time stamp) and of runc and gVisor (`time= level= msg=`, or JSON)
 * taken off, control characters removed, capped at 2 KiB.
 */
export function cleanWords(raw: string | Uint8Array): string {
  const text = typeof raw === 'string' ? raw : Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('utf8')
  const lines = text
    .slice(0, 64 * 1024)
    // Colours first, then whatever else does not print.
    .replace(/\x1b\[[0-9;]*[A-Za-z]/g, '')
    .split(/[\r\n]+/)
    .map((line) => undecorated(line.replace(/[\0-\x08\x0b-\x1f\x7f]/g, '').trim()))
    .filter((line) => line !== '')
  const words = [...new Set(lines)].join('; ')
  return words.length > maxWords ? `${words.slice(0, maxWords)}…` : words
}

const isChatter = (level: unknown): boolean => level === 'debug' || level === 'info'

function undecorated(line: string): string {
  const logrus = /^time="[^"]*" level=(\w+) msg="((?:[^"\\]|\\.)*)"/.exec(line)
  if (logrus !== null) return isChatter(logrus[1]) ? '' : (logrus[2] ?? '').replace(/\\(.)/g, '$1')
  const entry = jsonEntry(line)
  if (entry !== undefined) return isChatter(entry.level) ? '' : entry.msg
  return line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d):? (?:error: |warning: )?/, '')
}

function jsonEntry(line: string): { readonly msg: string; readonly level?: unknown } | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const { msg, level } = JSON.parse(line) as { msg?: unknown; level?: unknown }
    return typeof msg === 'string' ? { msg, level } : undefined
  } catch {
    return undefined
  }
}
