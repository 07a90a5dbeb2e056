import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

/** A pod or container id of a request: 1 to 64 lower-case hex digits. Anything else names no object of ours. */
export function parseId(field: string, id: string): string {
  if (id === '') throw invalid(`${field} must not be empty`)
  if (!/^[0-9a-zA-Z_.-]{1,128}$/.test(id)) throw invalid(`${field} ${quote(id)} must be an id: up to 64 hex digits`)
  return id
}

/** The field's value, or an error that names it. */
export function required<T>(field: string, value: T | undefined): T {
  if (value === undefined) throw invalid(`${field} is required`)
  return value
}

/** Seconds of a request as milliseconds. Throws on negative values. */
export function parseSeconds(field: string, seconds: bigint): number {
  if (seconds < 0n) throw invalid(`${field} ${seconds} must not be negative`)
  return Number(seconds > 1_000_000_000n ? 1_000_000_000n : seconds) * 1000
}

export function parseArgv(field: string, argv: readonly string[]): readonly string[] {
  if (argv.length === 0 || argv[0] === '') throw invalid(`${field} must name a program`)
  const bad = argv.find((arg) => arg.includes('\0'))
  if (bad !== undefined) throw invalid(`${field} ${quote(bad)} must not contain NUL`)
  return argv
}
