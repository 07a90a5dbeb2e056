// Reading foreign JSON field by field: wrong types are errors that name the path.
import { type CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject } from '@coracle/base/parse-json'

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`)

export const wrongType = (path: string, expected: string, value: unknown): CodedError =>
  invalid(`${path} must be ${expected}, not ${kindOf(value)}`)

/** Absent and null are the same, as writers in Go leave either. */
export const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null

export function objectAt(path: string, value: unknown): JsonObject {
  if (isObject(value)) return value
  throw wrongType(path, 'an object', value)
}

export function listAt(path: string, value: unknown, maxLength: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(path, 'a list', value)
  if (value.length > maxLength) throw invalid(`${path} has ${value.length} elements, more than the limit of ${maxLength}`)
  return value
}

export function stringAt(path: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw wrongType(path, 'a string', value)
}

export const optionalString = (path: string, value: unknown): string | undefined =>
  isAbsent(value) ? undefined : stringAt(path, value)

export function stringsAt(path: string, value: unknown, maxLength: number): readonly string[] {
  if (isAbsent(value)) return []
  return listAt(path, value, maxLength).map((element, index) => stringAt(`${path}[${index}]`, element))
}

/** A byte count: a whole number from 0 to 2^53-1. */
export function sizeAt(path: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`${path} must be a whole number of bytes, not ${quote(String(value))}`)
}

/**
 * Throws `invalid_argument` when an object of `text` (valid JSON) has one of `names` twice: two readers would see two documents.
 */
export function refuseDuplicateKeys(what: string, text: string, names: ReadonlySet<string>): void {
  const seen: Set<string>[] = []
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x7b) seen.push(new Set())
    else if (c === 0x5b) seen.push(emptySet)
    else if (c === 0x7d || c === 0x5d) seen.pop()
    else if (c === 0x22) {
      const end = endOfString(text, i)
      const top = seen.at(-1)
      if (top !== undefined && top !== emptySet && isKey(text, end + 1)) {
        const key = keyOf(text, i, end)
        if (names.has(key)) {
          if (top.has(key)) throw invalid(`${what} has the key ${quote(key)} twice in one object`)
          top.add(key)
        }
      }
      i = end
    }
  }
}

const emptySet: Set<string> = new Set()

function endOfString(text: string, start: number): number {
  let i = start + 1
  while (i < text.length && text.charCodeAt(i) !== 0x22) i += text.charCodeAt(i) === 0x5c ? 2 : 1
  return i
}

function keyOf(text: string, start: number, end: number): string {
  // Longer than any name we look for, even if each character were escaped.
  if (end - start > 256) return ''
  return String(JSON.parse(text.slice(start, end + 1)))
}

function isKey(text: string, from: number): boolean {
  let i = from
  while (i < text.length && ' \t\r\n'.includes(text[i] ?? '')) i++
  return text[i] === ':'
}
