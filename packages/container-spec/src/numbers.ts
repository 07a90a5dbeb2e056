// protobuf int64 arrives as bigint: the range is checked before it becomes a number (hazards I8).
import { invalid } from '@coracle/base/errors'

export interface Range {
  readonly min: number
  readonly max: number
}

/** Throws `invalid_argument` naming `field` unless `value` lies in the range. */
export function parseRange(field: string, value: bigint, range: Range): number {
  if (value < BigInt(range.min) || value > BigInt(range.max))
    throw invalid(`${field} ${value} must be from ${range.min} to ${range.max}`)
  return Number(value)
}

/** Largest user or group id: 2^31-1. The kernel's "none" is 2^32-1, and peers were broken by ids that wrap. */
export const maxId = 2 ** 31 - 1

export const parseId = (field: string, value: bigint): number => parseRange(field, value, { min: 0, max: maxId })
