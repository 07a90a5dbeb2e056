// Assertions in the CRI's terms.
import assert from 'node:assert/strict'
import { CodedError, type ErrorCode, explain } from '@coracle/base/errors'

/** Asserts that the call fails with the code; the message must match when a pattern is given. Resolves to the message. */
export async function failsWith(
  code: ErrorCode | readonly ErrorCode[],
  call: Promise<unknown>,
  pattern?: RegExp,
): Promise<string> {
  const codes: readonly ErrorCode[] = typeof code === 'string' ? [code] : code
  const outcome = await call.then(
    (value) => ({ value }),
    (err: unknown) => ({ err }),
  )
  if (!('err' in outcome)) assert.fail(`expected ${codes.join(' or ')}, but the call succeeded`)
  const { err } = outcome
  assert.ok(err instanceof CodedError, `expected a gRPC status, got ${explain(err)}`)
  assert.ok(codes.includes(err.code), `expected ${codes.join(' or ')}, got ${err.code}: ${err.message}`)
  if (pattern) assert.match(err.message, pattern)
  return err.message
}

/** Every item of a server stream, in order. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  return await Array.fromAsync(stream)
}

/** Asserts that a time in nanoseconds is within the last `maxAgeMs`. */
export function assertRecent(timeNs: bigint, maxAgeMs = 60_000): void {
  const ageMs = Date.now() - Number(timeNs / 1_000_000n)
  assert.ok(ageMs > -2_000 && ageMs < maxAgeMs, `expected a time of the last ${maxAgeMs} ms, got one ${ageMs} ms old`)
}

export async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
