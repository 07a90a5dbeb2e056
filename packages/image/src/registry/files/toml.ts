// TOML that others wrote for others: read field by field, each complaint with file, line and key.
import { type CodedError, invalid } from '@coracle/base/errors'
import { isObject, type JsonObject } from '@coracle/base/parse-json'
import { parse, TomlError } from 'smol-toml'

type Step = string | number

/** Throws `invalid_argument` as `FILE:LINE: what is wrong`. */
export function parseToml(file: string, text: string): TomlTable {
  try {
    return new TomlTable(file, linesOf(text), [], parse(text) as JsonObject)
  } catch (err) {
    if (err instanceof TomlError) throw invalid(`${file}:${err.line}: ${err.message.split('\n')[0]}`)
    throw err
  }
}

/** One table of a file. The getters return undefined for what is not there and throw `invalid_argument` for a wrong type. */
export class TomlTable {
  readonly file: string
  readonly #lines: ReadonlyMap<string, number>
  readonly #path: readonly Step[]
  readonly #value: JsonObject

  constructor(file: string, lines: ReadonlyMap<string, number>, path: readonly Step[], value: JsonObject) {
    this.file = file
    this.#lines = lines
    this.#path = path
    this.#value = value
  }

  /** `FILE:LINE` of a key, or of the table. */
  where(key?: string): string {
    const path = key === undefined ? this.#path : [...this.#path, key]
    for (let length = path.length; length > 0; length--) {
      const line = this.#lines.get(keyOf(path.slice(0, length)))
      if (line !== undefined) return `${this.file}:${line}`
    }
    return this.file
  }

  /** An `invalid_argument` about a key. */
  wrong(key: string, why: string): CodedError {
    return invalid(`${this.where(key)}: ${this.#name(key)} ${why}`)
  }

  keys(): readonly string[] {
    return Object.keys(this.#value)
  }

  string(key: string): string | undefined {
    const value = this.#value[key]
    if (value === undefined || typeof value === 'string') return value
    throw this.wrong(key, 'has the wrong type: expected a string')
  }

  boolean(key: string): boolean | undefined {
    const value = this.#value[key]
    if (value === undefined || typeof value === 'boolean') return value
    throw this.wrong(key, 'has the wrong type: expected true or false')
  }

  /** A list of strings; one string is a list of one. */
  strings(key: string): readonly string[] | undefined {
    const value = this.#value[key]
    if (value === undefined) return undefined
    const list = Array.isArray(value) ? value : [value]
    if (list.every((item) => typeof item === 'string')) return list
    throw this.wrong(key, 'has the wrong type: expected a string or a list of strings')
  }

  /** Whatever is there, for keys of several types. */
  any(key: string): unknown {
    return this.#value[key]
  }

  table(key: string): TomlTable | undefined {
    const value = this.#value[key]
    if (value === undefined) return undefined
    if (!isObject(value)) throw this.wrong(key, 'has the wrong type: expected a table')
    return new TomlTable(this.file, this.#lines, [...this.#path, key], value)
  }

  /** `[[key]]`. */
  tables(key: string): readonly TomlTable[] {
    const value = this.#value[key]
    if (value === undefined) return []
    if (!Array.isArray(value) || !value.every(isObject)) throw this.wrong(key, `has the wrong type: expected [[${key}]] tables`)
    return value.map((item, i) => new TomlTable(this.file, this.#lines, [...this.#path, key, i], item))
  }

  /** One warning for each key that is not among `known`: these files have other readers, so such a key is no error. */
  unknown(known: readonly string[]): readonly string[] {
    return this.keys()
      .filter((key) => !known.includes(key))
      .map((key) => `${this.where(key)}: ${this.#name(key)} is not known here and has no effect`)
  }

  #name(key: string): string {
    const table = this.#path.filter((step) => typeof step === 'string').map(quoted)
    return [...table, quoted(key)].join('.')
  }
}

// A key may be a URL, and that may hold what must not be shown.
const quoted = (key: Step): string =>
  /^[A-Za-z0-9_-]+$/.test(String(key)) ? String(key) : JSON.stringify(String(key).replace(/\/\/[^/]*@/, '//***@'))
const keyOf = (path: readonly Step[]): string => JSON.stringify(path)

/** The line, from 1, of each table header and assignment, by path. */
function linesOf(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  const counts = new Map<string, number>()
  let table: readonly Step[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*(\[\[?)\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|[.\s])+?)\s*\]/.exec(line)
    if (header !== null) {
      table = resolved(counts, steps(header[2] ?? ''), header[1] === '[[')
      for (let length = 1; length <= table.length; length++) {
        const key = keyOf(table.slice(0, length))
        if (!lines.has(key)) lines.set(key, index + 1)
      }
      continue
    }
    const assignment = /^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*=/.exec(line)
    if (assignment?.[1] === undefined) continue
    const path = [...table, ...steps(assignment[1])]
    if (!lines.has(keyOf(path))) lines.set(keyOf(path), index + 1)
  }
  return lines
}

/** The path of a header: a table below an array of tables belongs to the array's last one. */
function resolved(counts: Map<string, number>, names: readonly string[], isArray: boolean): readonly Step[] {
  let path: Step[] = []
  for (const [i, name] of names.entries()) {
    path = [...path, name]
    const key = keyOf(path)
    if (isArray && i === names.length - 1) counts.set(key, (counts.get(key) ?? 0) + 1)
    const count = counts.get(key)
    if (count !== undefined) path.push(count - 1)
  }
  return path
}

const steps = (text: string): string[] =>
  [...text.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
