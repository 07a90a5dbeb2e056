import type { SQLOutputValue } from 'node:sqlite'
import { invalid, notFound } from '@coracle/base/errors'
import { isFullId, quote } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { isObject } from '@coracle/base/parse-json'
import type { Database } from './database.ts'

const log = logger('lifecycle')

/** Turns a CRI message into bytes and back; given by the room that knows the protobuf runtime. */
export interface Codec<C> {
  encode(config: C): Uint8Array
  decode(bytes: Uint8Array): C
}

export interface RecordOf<Id extends string, C> {
  readonly id: Id
  readonly key: string
  readonly config: C
}

/** Told after every change that can be seen already: a new record has no `before`, a deleted one no `after`. Must not throw. */
export type ChangeListener<R> = (...change: [before: R | undefined, after: R] | [before: R, after: undefined]) => void

export interface RecordsOptions<C> {
  readonly table: 'pods' | 'containers'
  /** For messages: `pod sandbox`, `container`. */
  readonly noun: string
  readonly codec: Codec<C>
}

/**
 * Records of one kind: read from memory, written through to the database before `put` returns.
 * A record is replaced, never changed, so that what is derived from it can be cached by identity.
 */
export class Records<Id extends string, C, R extends RecordOf<Id, C>> {
  readonly #byId = new Map<string, R>()
  readonly #byKey = new Map<string, R>()
  readonly #listeners: ChangeListener<R>[] = []
  readonly #noun: string
  readonly #db: Database
  readonly #insert
  readonly #update
  readonly #remove
  readonly #codec: Codec<C>

  constructor(db: Database, options: RecordsOptions<C>) {
    const { table } = options
    this.#noun = options.noun
    this.#db = db
    this.#codec = options.codec
    this.#insert = db.prepare(`INSERT INTO ${table} (id, key, config, record) VALUES (?, ?, ?, ?)`)
    this.#update = db.prepare(`UPDATE ${table} SET record = ? WHERE id = ?`)
    this.#remove = db.prepare(`DELETE FROM ${table} WHERE id = ?`)
    for (const row of db.prepare(`SELECT id, key, config, record FROM ${table}`).all()) {
      try {
        this.#keep(this.#read(row))
      } catch (err) {
        // One broken record must not keep the others from being served. Recovery sweeps what it stood for.
        log.error('a record cannot be read; it is put aside in table damaged', { table, id: row['id'], error: err })
        db.prepare(`INSERT OR REPLACE INTO damaged SELECT '${table}', id, key, config, record FROM ${table} WHERE id = ?`).run(
          String(row['id']),
        )
        this.#remove.run(String(row['id']))
      }
    }
  }

  #read(row: Record<string, SQLOutputValue>): R {
    const { id, key } = row
    const record = revive(String(row['record']))
    if (!isObject(record) || !isObject(record['state']) || typeof record['state']['kind'] !== 'string' || !isFullId(String(id)))
      throw new Error('it has no state')
    const config = this.#codec.decode(row['config'] as Uint8Array)
    // We wrote it: the record's shape is that of `R` without id, key and config.
    return { ...record, id, key, config } as unknown as R
  }

  /** Inserts or replaces. The config, id and key of a record never change. */
  put(record: R): R {
    const { id, key, config, ...rest } = record
    const text = freeze(rest)
    const before = this.#byId.get(id)
    if (before !== undefined) this.#db.run(this.#update, [text, id], true)
    else this.#db.run(this.#insert, [id, key, this.#codec.encode(config), text], false)
    this.#keep(record)
    for (const listener of this.#listeners) listener(before, record)
    return record
  }

  delete(id: string): void {
    const record = this.#byId.get(id)
    if (record === undefined) return
    this.#db.run(this.#remove, [id], true)
    this.#byId.delete(id)
    this.#byKey.delete(record.key)
    for (const listener of this.#listeners) listener(record, undefined)
  }

  onChange(listener: ChangeListener<R>): void {
    this.#listeners.push(listener)
  }

  /** By full id, or an unambiguous prefix of it. Throws `invalid_argument` when ambiguous. */
  find(id: string): R | undefined {
    const exact = this.#byId.get(id)
    if (exact !== undefined || id.length >= 64 || id.length === 0) return exact
    const matches = [...this.#byId.values()].filter((record) => record.id.startsWith(id))
    if (matches.length > 1) throw invalid(`${this.#noun} id ${quote(id)} is ambiguous: ${matches.length} ids begin with it`)
    return matches[0]
  }

  /** Like `find`, but throws `not_found`. */
  get(id: string): R {
    const record = this.find(id)
    if (record === undefined) throw notFound(`${this.#noun} ${quote(id)} does not exist`)
    return record
  }

  /** Whether there is a record of exactly this id. */
  has(id: string): boolean {
    return this.#byId.has(id)
  }

  findByKey(key: string): R | undefined {
    return this.#byKey.get(key)
  }

  all(): IterableIterator<R> {
    return this.#byId.values()
  }

  get size(): number {
    return this.#byId.size
  }

  #keep(record: R): void {
    this.#byId.set(record.id, record)
    this.#byKey.set(record.key, record)
  }
}

// JSON has no bigint: it becomes a marked string. A text that begins like one is marked as text.
const mark = '\u0001'

function freeze(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => {
    if (typeof v === 'bigint') return `${mark}n${v}`
    return typeof v === 'string' && v.startsWith(mark) ? `${mark}s${v}` : v
  })
}

function revive(text: string): unknown {
  return JSON.parse(text, (_key, v: unknown) => {
    if (typeof v !== 'string' || !v.startsWith(mark)) return v
    return v[1] === 'n' ? BigInt(v.slice(2)) : v.slice(2)
  })
}
