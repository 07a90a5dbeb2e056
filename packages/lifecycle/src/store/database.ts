// Runtime records in SQLite (https://sqlite.org/wal.html): WAL, synchronous=NORMAL, since pods do not outlive a power loss.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { CodedError } from '@coracle/base/errors'
import { Reserve } from './reserve.ts'

const schemaVersion = 1

const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE pods (id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, config BLOB NOT NULL, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE containers (id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, config BLOB NOT NULL, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
`

export interface Database extends Disposable {
  prepare(sql: string): StatementSync
  /**
   * Runs a statement that changes something. Throws `resource_exhausted` when the disk is full; one that `mustWork`, because
   * something ends by it, uses up the reserve first.
   */
  run(statement: StatementSync, values: readonly SQLInputValue[], mustWork: boolean): void
  getMeta(name: string): string | undefined
  setMeta(name: string, value: string): void
}

/** Rows that could not be read, kept for a person to look at. */
const damagedTable =
  'CREATE TABLE IF NOT EXISTS damaged (kind TEXT NOT NULL, id TEXT NOT NULL, key TEXT, config BLOB, record TEXT, PRIMARY KEY (kind, id)) STRICT'

/**
 * Opens or makes the database of runtime records.
 * Throws `failed_precondition` when it was written by a newer version, `data_loss` when SQLite finds it damaged.
 */
export function openDatabase(path: string): Database {
  const db = new DatabaseSync(path, { allowExtension: false, timeout: 5000 })
  try {
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; PRAGMA journal_size_limit=16777216')
    // In KiB, instead of 2 MiB: all is read once and answered from memory, so pages kept here are only in the daemon's way.
    db.exec('PRAGMA cache_size=-256')
    migrate(db, path)
  } catch (err) {
    db.close()
    if (err instanceof CodedError && err.code === 'failed_precondition') throw err
    // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN: the disk, not the records.
    if (err instanceof Error && 'errcode' in err && [8, 10, 13, 14].includes(Number(err.errcode) & 0xff))
      throw new CodedError('internal', `open ${path}: its disk is full, read-only or failing; the records are as they were`, {
        cause: err,
      })
    // Without records the next start ends and removes all that runs here, and a kubelet makes its pods anew.
    const wayOut = `to go on without its records move it away: mv ${path} ${path}.damaged`
    throw new CodedError('data_loss', `open ${path} (${wayOut})`, { cause: err })
  }
  const reserve = new Reserve(`${path}.reserve`)
  const get = db.prepare('SELECT value FROM meta WHERE name = ?')
  const set = db.prepare('INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value')
  return {
    prepare: (sql) => db.prepare(sql),
    run: (statement, values, mustWork) => {
      try {
        statement.run(...values)
        reserve.refill()
      } catch (err) {
        if (!isFull(err)) throw err
        if (!mustWork || !reserve.give()) throw new CodedError('resource_exhausted', `no space left for ${path}`, { cause: err })
        statement.run(...values)
      }
    },
    getMeta: (name) => {
      const row = get.get(name)
      return row === undefined ? undefined : String(row['value'])
    },
    setMeta: (name, value) => {
      set.run(name, value)
    },
    [Symbol.dispose]: () => db.close(),
  }
}

/** SQLITE_FULL, and SQLITE_IOERR_SHMSIZE, its kind for the shared memory of the log (https://sqlite.org/rescode.html). */
function isFull(err: unknown): boolean {
  return err instanceof Error && 'errcode' in err && (err.errcode === 13 || err.errcode === 4874)
}

function migrate(db: DatabaseSync, path: string): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
  if (version > schemaVersion) {
    throw new CodedError(
      'failed_precondition',
      `${path} has schema version ${version}, this daemon knows ${schemaVersion}: run the newer daemon again`,
    )
  }
  const integrity = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (integrity !== 'ok') throw new CodedError('data_loss', `damaged: ${String(integrity)}`)
  if (version === 0) db.exec(`BEGIN; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT`)
  db.exec(damagedTable)
}
