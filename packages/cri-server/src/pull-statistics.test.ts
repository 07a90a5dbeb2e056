import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CodedError, failed } from '@coracle/base/errors'
import { failureOf } from './pull-statistics.ts'

test('failureOf() tells what was the matter with a registry, else the code', () => {
  const registry = Object.assign(new CodedError('unknown', 'look up r.invalid: ENOTFOUND'), { failure: 'dns' })
  assert.equal(failureOf(failed('pull image r.invalid/a', failed('layer', registry))), 'dns')
  assert.equal(failureOf(failed('pull image r.invalid/a', new CodedError('data_loss', 'layer'))), 'data_loss')
  assert.equal(failureOf(new DOMException('', 'AbortError')), 'canceled')
})
