import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CodedError, codeOf, explain, notFound } from '@coracle/base/errors'
import { parseReference } from '@coracle/oci-spec/reference'
import { firstThatWorks } from './first-that-works.ts'

const candidates = ['a.io/x', 'b.io/x', 'c.io/x'].map(parseReference)
const absent = notFound('pull image x: 404')
const failing = (...failures: Error[]) =>
  firstThatWorks(
    candidates.slice(0, failures.length),
    async () => Promise.reject(failures.shift()),
    AbortSignal.timeout(5000),
  ).then(
    () => assert.fail('it worked'),
    (err: unknown) => [codeOf(err), explain(err)],
  )

test('what several registries said: a reason that kubelet knows stands first, with its code; else the last one decides', async () => {
  for (const reason of ['SignatureValidationFailed', 'RegistryUnavailable']) {
    const text = `${reason}: pull image y: no`
    const known = new CodedError('unknown', text)
    assert.deepEqual(await failing(known, absent), ['unknown', `${text}; pull image x: 404`])
    assert.deepEqual(await failing(absent, known), ['unknown', `${text}; pull image x: 404`])
  }
  const denied = new CodedError('permission_denied', 'pull image z: 403')
  assert.deepEqual(await failing(denied, absent), ['not_found', 'pull image z: 403; pull image x: 404'])
  assert.deepEqual(await failing(absent), ['not_found', 'pull image x: 404'])
})
