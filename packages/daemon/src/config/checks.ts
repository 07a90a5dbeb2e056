// What is wrong with a value of the right type, or undefined.
import type { Value } from './keys.ts'

export const oneOf =
  (...allowed: readonly string[]) =>
  (value: Value) =>
    allowed.includes(String(value)) ? undefined : `expected one of ${allowed.join(', ')}`
export const absolute = (value: Value) => (String(value).startsWith('/') ? undefined : 'expected an absolute path')
/** A path, or the URL by which clients name it: they read the same variable. */
export const pathOfSocket = (value: string): string => value.replace(/^unix:\/\//, '')
export const socket = (value: Value) => absolute(pathOfSocket(String(value)))
export const absoluteOrNone = (value: Value) =>
  value === '' || String(value).startsWith('/') ? undefined : 'expected an absolute path, or "" for none'
export const allAbsolute = (value: Value) =>
  [value].flat().every((path) => String(path).startsWith('/')) ? undefined : 'expected absolute paths'
export const range = (low: number, high: number) => (value: Value) =>
  Number(value) >= low && Number(value) <= high ? undefined : `expected ${low} to ${high}`
