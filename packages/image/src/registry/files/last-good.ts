// Files of the operator, read again when they change. A version that is broken changes nothing: the last good one stays in force.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'

const log = logger('image')

export interface Loaded<T> {
  readonly value: T
  /** What is wrong with the files as they are now; the value is that of the version before. */
  readonly problem: string | undefined
}

interface Kept<T> {
  signature: string
  value: { readonly good: T } | undefined
  problem: string | undefined
}

/** Values made of files, by name. */
export class LastGood<T> {
  readonly #kept = new Map<string, Kept<T>>()

  /** `paths` are all that `load` reads. Throws `failed_precondition` when there never was a good version. */
  get(name: string, paths: readonly string[], load: () => T): Loaded<T> {
    const signature = paths.map(signatureOf).join('\n')
    let kept = this.#kept.get(name)
    if (kept === undefined || kept.signature !== signature) {
      kept = this.#reload(name, kept, signature, load)
      this.#kept.set(name, kept)
    }
    if (kept.value === undefined) throw new CodedError('failed_precondition', `registry configuration: ${kept.problem}`)
    return { value: kept.value.good, problem: kept.problem }
  }

  #reload(name: string, before: Kept<T> | undefined, signature: string, load: () => T): Kept<T> {
    try {
      const value = { good: load() }
      if (before !== undefined) log.info('registry configuration read again', { what: name })
      return { signature, value, problem: undefined }
    } catch (err) {
      const problem = explain(err)
      log.error(
        before?.value === undefined ? 'registry configuration is broken' : 'registry configuration is broken: the old one stays',
        { what: name, error: problem },
      )
      return { signature, value: before?.value, problem }
    }
  }
}

function signatureOf(path: string): string {
  try {
    const { ino, mtimeMs, ctimeMs, size } = statSync(path)
    return `${path} ${ino} ${mtimeMs} ${ctimeMs} ${size}`
  } catch {
    return `${path} -`
  }
}

const maxBytes = 4 * 1024 * 1024

/** Undefined when absent. Throws `invalid_argument` when it is larger than any configuration. */
export function readText(path: string): string | undefined {
  try {
    if (statSync(path).size > maxBytes) throw new CodedError('invalid_argument', `${path} is larger than ${maxBytes} bytes`)
    return readFileSync(path, 'utf8')
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined
    throw err instanceof CodedError ? err : new CodedError('failed_precondition', `read ${path}`, { cause: err })
  }
}

/** Paths of the directory's entries with that ending, sorted. None when it is absent. */
export function listFiles(directory: string, ending = ''): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => join(directory, name))
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return []
    throw new CodedError('failed_precondition', `list ${directory}`, { cause: err })
  }
}
