import { randomBytes } from 'node:crypto'
import { invalid } from './errors.ts'

declare const brand: unique symbol
export type Branded<Name extends string> = string & { readonly [brand]: Name }

export type PodId = Branded<'PodId'>
export type ContainerId = Branded<'ContainerId'>

/** 256 random bits as 64 lower-case hex digits: never reused, fits a hostname-safe cgroup name. */
const newId = (): string => randomBytes(32).toString('hex')

// The brands are made only here: a fresh id, or one read back from our own records.
export const newPodId = (): PodId => newId() as PodId
export const newContainerId = (): ContainerId => newId() as ContainerId

export const isFullId = (text: string): boolean => /^[0-9a-f]{64}$/.test(text)

/** Throws `invalid_argument` unless `text` may be one path component below our directories. */
export function parseComponent(field: string, text: string): string {
  if (text === '' || text === '.' || text === '..' || text.length > 255 || /[/\0]/.test(text)) {
    throw invalid(`${field} ${quote(text)} must be a single path component of 1 to 255 characters without "/" or NUL`)
  }
  return text
}

/** `text` for an error message: quoted, control characters escaped, at most 128 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}…` : text)
}
