import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { newPodId, type PodId } from '@coracle/base/ids'
import { openDatabase } from './database.ts'
import { Records } from './records.ts'

interface Thing {
  readonly id: PodId
  readonly key: string
  readonly config: string
  readonly state: { readonly kind: string; readonly at?: bigint; readonly text?: string }
}

const codec = { encode: (text: string) => Buffer.from(text), decode: (bytes: Uint8Array) => Buffer.from(bytes).toString() }
const recordsOf = (db: ReturnType<typeof openDatabase>) =>
  new Records<PodId, string, Thing>(db, { table: 'pods', noun: 'thing', codec })
const thing = (key: string, kind = 'ready'): Thing => ({ id: newPodId(), key, config: `config of ${key}`, state: { kind } })

let path = ''
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'coracle-db-')), 'records.db')
})
afterEach(() => rmSync(join(path, '..'), { recursive: true }))

test('records come back as they were, also their big numbers and odd texts', () => {
  const one: Thing = { ...thing('k'), state: { kind: 'x', at: 2n ** 63n - 1n, text: '\u0001n12' } }
  {
    using db = openDatabase(path)
    const records = recordsOf(db)
    records.put(one)
    records.delete(records.put(thing('gone')).id)
    records.delete('absent')
    db.setMeta('a', '1')
    db.setMeta('a', '2')
  }
  using db = openDatabase(path)
  assert.deepEqual([...recordsOf(db).all()], [one])
  assert.deepEqual([db.getMeta('a'), db.getMeta('b')], ['2', undefined])
})

test('found by id, unambiguous prefix and key', () => {
  using db = openDatabase(path)
  const records = recordsOf(db)
  // Ids are chosen so that they share their beginning.
  const [a, b] = ['a', 'b'].map((end) => records.put({ ...thing(end), id: `ff${'0'.repeat(61)}${end}` as PodId }))
  assert.equal(records.get(a?.id ?? ''), a)
  assert.equal(records.findByKey('b'), b)
  assert.equal(records.find(''), undefined)
  assert.equal(records.find('00'), undefined)
  assert.throws(() => records.find('ff'), { code: 'invalid_argument', message: /thing id "ff" is ambiguous: 2 ids/ })
  assert.throws(() => records.get('e'), { code: 'not_found', message: 'thing "e" does not exist' })
  records.delete(b?.id ?? '')
  assert.equal(records.find('ff'), a)
  assert.equal(records.findByKey('b'), undefined)
})

test('a database of a newer version is left as it is', () => {
  {
    using db = openDatabase(path)
    db.prepare('PRAGMA user_version = 99').run()
  }
  const before = readFileSync(path)
  assert.throws(() => openDatabase(path), { code: 'failed_precondition', message: /schema version 99.*run the newer daemon/ })
  assert.deepEqual(readFileSync(path), before)
})

test('a damaged database is named, with the way to go on without it', () => {
  for (const content of [
    'no database at all, but long enough to be looked at'.repeat(100),
    `SQLite format 3\0${'x'.repeat(8000)}`,
  ]) {
    writeFileSync(path, content)
    assert.throws(() => openDatabase(path), { code: 'data_loss', message: /open .*records\.db.*mv .*records\.db/ })
  }
})

test('on a full disk nothing new is recorded, but ends are', () => {
  using db = openDatabase(path)
  const records = recordsOf(db)
  const all = Array.from({ length: 50 }, (_value, n) => records.put(thing(`k${n}`)))
  assert.equal(statSync(`${path}.reserve`).size, 4 * 1024 * 1024)
  // SQLite's own limit stands in for the disk: the reserve's removal lifts it.
  const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count'])
  db.prepare(`PRAGMA max_page_count = ${pages}`).get()
  assert.throws(
    () => {
      for (let n = 0; n < 1000; n++) records.put(thing(`more${n}`))
    },
    { code: 'resource_exhausted', message: /no space left for/ },
  )
  for (const { id } of all) records.delete(id)
  assert.equal(records.findByKey('k0'), undefined)
})
