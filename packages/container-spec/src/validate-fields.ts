// Checks that pod and container configs share.
import { invalid } from '@coracle/base/errors'
import { parseComponent, quote } from '@coracle/base/ids'
import { checkBytes, cleanPath } from './paths.ts'

/** Kubernetes caps annotations at this; more can only be a mistake or an attack. */
const maxTextBytes = 256 * 1024

/** Labels or annotations. Throws `invalid_argument` when together they are over 256 KiB. */
export function checkTexts(field: string, texts: { readonly [name: string]: string }): void {
  let total = 0
  for (const [name, value] of Object.entries(texts)) total += Buffer.byteLength(name) + Buffer.byteLength(value)
  if (total > maxTextBytes) throw invalid(`${field} are ${total} bytes, more than the limit of ${maxTextBytes}`)
}

/** A name that becomes part of paths and keys: required, one path component. */
export function checkName(field: string, name: string | undefined): void {
  if (name === undefined || name === '') throw invalid(`${field} is required`)
  parseComponent(field, name)
  if (Buffer.byteLength(name) > 255) throw invalid(`${field} ${quote(name)} is longer than 255 bytes`)
  if (/[\x00-\x1f\x7f]/.test(name)) throw invalid(`${field} ${quote(name)} must not contain control characters`)
}

/** An enum field: one of `0…last`. */
export function checkEnum(field: string, value: number, last: number): void {
  if (!Number.isInteger(value) || value < 0 || value > last) throw invalid(`${field} ${value} is unknown`)
}

/** `log_directory`: absolute and clean; empty when no log is wanted. */
export function checkLogDirectory(directory: string): void {
  const field = 'config.log_directory'
  if (directory === '') return
  if (!directory.startsWith('/')) throw invalid(`${field} ${quote(directory)} must be an absolute path`)
  checkBytes(field, directory)
  checkComponents(field, directory)
}

/** `log_path`: relative, clean, and then below the pod's log directory (CVE-2025-0750). */
export function checkLogPath(path: string): void {
  const field = 'config.log_path'
  if (path === '') return
  if (path.startsWith('/')) throw invalid(`${field} ${quote(path)} must be relative to the pod's log_directory`)
  checkBytes(field, path)
  checkComponents(field, path)
  if (cleanPath(path) !== `/${path}`) throw invalid(`${field} ${quote(path)} must be clean: without empty components and "."`)
}

function checkComponents(field: string, path: string): void {
  for (const part of path.split('/')) {
    if (part === '..') throw invalid(`${field} ${quote(path)} must not contain ".."`)
    if (Buffer.byteLength(part) > 255) throw invalid(`${field} ${quote(path)} has a component longer than 255 bytes`)
  }
}
