import assert from 'node:assert/strict'
import { codeOf, type ErrorCode } from '@coracle/base/errors'

/** Asserts that `work` throws with `code` and a message that holds `words`. */
export function throws(work: () => unknown, code: ErrorCode, words = ''): void {
  let thrown: unknown
  try {
    work()
  } catch (err) {
    thrown = err
  }
  assert.ok(thrown instanceof Error, `nothing was thrown: expected ${code} ${words}`)
  assert.equal(codeOf(thrown), code, thrown.message)
  assert.ok(thrown.message.includes(words), `${JSON.stringify(thrown.message)} does not hold ${JSON.stringify(words)}`)
}
