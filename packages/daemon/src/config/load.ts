// defaults ← file ← drop-ins ← environment ← flags. Each unknown key, wrong type or bad value is an error with file, line and key.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { CodedError, invalid } from '@coracle/base/errors'
import { parse, TomlError } from 'smol-toml'
import { environmentName, type Key, keys, type Value } from './keys.ts'
import { lineOf } from './locate.ts'

export interface Setting {
  readonly value: Value
  /** File and line, flag, variable, or `default`. */
  readonly from: string
}

/** Values by full path (`runtimes.crun.path`). */
export type Settings = ReadonlyMap<string, Setting>

export interface Sources {
  /** The main file; drop-ins are read from `<file>.d/*.toml` beside it, in lexical order. */
  readonly file: string
  /** Whether a missing file is an error: it was named by the operator. */
  readonly fileRequired: boolean
  /** Flag values by flag name. */
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly environment: Readonly<Record<string, string | undefined>>
}

export const defaultFile = '/etc/coracle/coracle.toml'

export function loadSettings(sources: Sources): Settings {
  const settings = new Map<string, Setting>()
  for (const key of keys)
    if (key.default !== undefined && !key.path.includes('*')) settings.set(key.path, { value: key.default, from: 'default' })
  for (const key of keys) {
    const name = key.conventional?.find((variable) => (sources.environment[variable] ?? '') !== '')
    const text = name === undefined ? undefined : sources.environment[name]
    if (text !== undefined)
      settings.set(key.path, { value: fromText(key, [text], `environment ${name}`), from: `environment ${name}` })
  }
  for (const file of filesOf(sources)) readInto(settings, file)
  for (const key of keys) {
    const name = environmentName(key.path)
    const text = key.path.includes('*') ? undefined : sources.environment[name]
    if (text !== undefined)
      settings.set(key.path, { value: fromText(key, [text], `environment ${name}`), from: `environment ${name}` })
  }
  for (const [flag, texts] of sources.flags) {
    const key = keys.find((candidate) => candidate.flag === flag)
    if (key !== undefined) settings.set(key.path, { value: fromText(key, texts, `--${flag}`), from: `--${flag}` })
  }
  return settings
}

function filesOf({ file, fileRequired }: Sources): string[] {
  if (!existsSync(file) && fileRequired) throw invalid(`configuration file ${file} does not exist`)
  const directory = file.replace(/(\.toml)?$/, '.d')
  const dropIns = existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.endsWith('.toml'))
        .sort()
        .map((name) => `${directory}/${name}`)
    : []
  return [...(existsSync(file) ? [file] : []), ...dropIns]
}

function readInto(settings: Map<string, Setting>, file: string): void {
  const text = readFileSync(file, 'utf8')
  let tree: unknown
  try {
    tree = parse(text)
  } catch (err) {
    if (err instanceof TomlError) throw new CodedError('invalid_argument', `${file}:${err.line}: ${err.message.split('\n')[0]}`)
    throw err
  }
  walk(tree, [], (path, value) => {
    const where = `${file}:${lineOf(text, path)}`
    const key = findKey(path)
    if (key === undefined) throw invalid(`${where}: unknown key ${path.join('.')}${suggestion(path)}`)
    settings.set(path.join('.'), { value: checked(key, value, `${where}: ${path.join('.')}`), from: where })
  })
}

function walk(node: unknown, path: readonly string[], visit: (path: readonly string[], value: unknown) => void): void {
  if (typeof node !== 'object' || node === null || Array.isArray(node) || node instanceof Date) {
    visit(path, node)
    return
  }
  for (const [name, value] of Object.entries(node)) walk(value, [...path, name], visit)
}

function findKey(path: readonly string[]): Key | undefined {
  return keys.find((key) => {
    const parts = key.path.split('.')
    return parts.length === path.length && parts.every((part, i) => part === '*' || part === path[i])
  })
}

function suggestion(path: readonly string[]): string {
  const last = path.at(-1)
  const near = keys.find((key) => key.path.split('.').at(-1) === last)
  return near === undefined ? '' : `: did you mean ${near.path}?`
}

const kinds = {
  string: (value: unknown) => typeof value === 'string',
  integer: (value: unknown) => typeof value === 'number' && Number.isSafeInteger(value),
  boolean: (value: unknown) => typeof value === 'boolean',
  strings: (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
} as const

const kindNames = { string: 'a string', integer: 'an integer', boolean: 'true or false', strings: 'a list of strings' } as const

function checked(key: Key, value: unknown, where: string): Value {
  if (!kinds[key.type](value))
    throw invalid(`${where} ${JSON.stringify(masked(value))} has the wrong type: expected ${kindNames[key.type]}`)
  // The kind was just checked.
  const typed = value as Value
  const problem = key.check?.(typed)
  if (problem !== undefined) throw invalid(`${where} ${JSON.stringify(masked(value))}: ${problem}`)
  return typed
}

function fromText(key: Key, texts: readonly string[], where: string): Value {
  const text = texts.at(-1) ?? ''
  if (key.type === 'strings')
    return checked(
      key,
      texts.flatMap((item) => item.split(',')),
      where,
    )
  if (key.type === 'integer') return checked(key, /^-?\d+$/.test(text) ? Number(text) : text, where)
  if (key.type === 'boolean') return checked(key, text === 'true' ? true : text === 'false' ? false : text, where)
  return checked(key, text, where)
}

/** For eyes: without the credentials that a URL may hold. */
export const masked = <T>(value: T): T | string =>
  typeof value === 'string' ? value.replace(/^([a-z][a-z0-9+.-]*:\/\/)?[^/@\s]*:[^@\s]*@/i, '$1***@') : value
