import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ImageSchema } from '@coracle/cri-api'
import { create } from '@coracle/cri-api/json'
import { filterImages } from './image-filter.ts'
import { UsageError } from './usage-error.ts'

const images = [
  create(ImageSchema, { id: 'sha256:aa', repoTags: ['r/a:1'] }),
  create(ImageSchema, { id: 'sha256:bb', repoDigests: ['r/b@sha256:00'] }),
  create(ImageSchema, { id: 'sha256:cc', repoTags: ['r/c:1', 'r/c:2'] }),
]

test("crictl's filters, alone and together", () => {
  const ids = (...filters: string[]) => filterImages(images, filters).map(({ id }) => id.slice(7))
  assert.deepEqual(ids(), ['aa', 'bb', 'cc'])
  assert.deepEqual(ids('dangling=true'), ['bb'])
  assert.deepEqual(ids('dangling=false'), ['aa', 'cc'])
  assert.deepEqual(ids('reference=c:[0-9]'), ['cc'])
  assert.deepEqual(ids('before=r/a:1'), ['bb', 'cc'])
  assert.deepEqual(ids('since=cc'), ['aa', 'bb'])
  assert.deepEqual(ids('dangling=false', 'reference=^r/a'), ['aa'])
  for (const filter of ['x=y', 'dangling=maybe', 'before=none', 'reference=[', 'dangling'])
    assert.throws(() => ids(filter), filter)
  assert.throws(() => ids('x=y'), UsageError)
})
