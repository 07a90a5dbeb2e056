// The image index in SQLite (https://sqlite.org/wal.html). Writes are made in WAL mode without a sync of their own and become durable
// by `flush`, which syncs the log off the main thread: the guarantee of synchronous=FULL without stopping the event loop for a disk.
import { closeSync, existsSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError, explain, failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { DiskError, diskTroubleOf, namingDisk } from '../disk-error.ts'

const log = logger('image')
// Given up when the disk is full, so that images can be removed then.
const ballastBytes = 1024 * 1024

/** What each schema version adds to the one before; the first is the whole. */
const schemas = [
  `
  CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, blob_digest TEXT NOT NULL, blob_bytes INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL, inodes INTEGER NOT NULL, implied TEXT NOT NULL, created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE images (
    id TEXT PRIMARY KEY, manifest_digest TEXT NOT NULL, manifest BLOB NOT NULL, config BLOB NOT NULL,
    size_bytes INTEGER NOT NULL, layers TEXT NOT NULL, pulled_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE names (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('tag', 'digest')), repository TEXT NOT NULL,
    by_tag INTEGER NOT NULL, image TEXT NOT NULL REFERENCES images (id)
  ) STRICT, WITHOUT ROWID;
`,
  `
  ALTER TABLE layers ADD COLUMN tree_digest TEXT NOT NULL DEFAULT '';
  ALTER TABLE layers ADD COLUMN damage TEXT NOT NULL DEFAULT '';
`,
  `
  ALTER TABLE layers ADD COLUMN skeleton_digest TEXT NOT NULL DEFAULT '';
`,
]

export type Row = Record<string, SQLOutputValue>

export interface Database extends Disposable {
  all(sql: string, ...values: (string | number | Uint8Array)[]): readonly Row[]
  /** All or nothing. Works on a full disk as long as the ballast lasts. */
  write(changes: (run: (sql: string, ...values: (string | number | Uint8Array)[]) => void) => void): void
  /** Resolves when everything written so far would survive a power loss. */
  flush(): Promise<void>
}

/** Opens or makes the index. A damaged one is moved aside and begun anew: images can be pulled again. */
export function openDatabase(path: string): Database {
  let db: DatabaseSync
  try {
    db = open1(path)
  } catch (err) {
    if (err instanceof CodedError && err.code === 'failed_precondition') throw err
    // The disk is full or read-only, and the index as good as before.
    const cause = diskErrorOf(err, path)
    if (cause instanceof DiskError) throw failed(`open the image index ${path}`, cause)
    const aside = `${path}.damaged-${Date.now()}`
    log.error('image index is damaged: moved aside, images have to be pulled again', { path, aside, error: String(err) })
    for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix)
    db = open1(path)
  }
  const ballast = join(dirname(path), 'ballast')
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      statement = db.prepare(sql)
      statements.set(sql, statement)
    }
    return statement
  }
  const transaction = (changes: Parameters<Database['write']>[0]) => {
    db.exec('BEGIN IMMEDIATE')
    try {
      changes((sql, ...values) => void prepare(sql).run(...values))
      db.exec('COMMIT')
    } catch (err) {
      if (db.isTransaction) db.exec('ROLLBACK')
      throw err
    }
  }
  refill(ballast)
  return {
    all: (sql, ...values) => prepare(sql).all(...values) as Row[],
    write(changes) {
      try {
        transaction(changes)
      } catch (err) {
        const cause = diskErrorOf(err, path)
        if (!isFull(err) || (cause instanceof DiskError && cause.code === 'internal'))
          throw failed('write the image index', cause)
        rmSync(ballast, { force: true })
        try {
          transaction(changes)
        } catch (again) {
          throw failed('write the image index', diskErrorOf(again, path))
        }
      }
    },
    async flush() {
      await using log = await open(`${path}-wal`, 'r')
      await log.datasync()
      refill(ballast)
    },
    [Symbol.dispose]: () => db.close(),
  }
}

/** Opens a copy of an index for reading; closed with the process. Throws when it is damaged or of a newer version. */
export function readDatabase(path: string): Database {
  const db = open1(path)
  return {
    all: (sql, ...values) => db.prepare(sql).all(...values) as Row[],
    // Nobody sees a copy but its reader.
    write: () => {},
    flush: async () => {},
    [Symbol.dispose]: () => db.close(),
  }
}

function open1(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { allowExtension: false, timeout: 5000 })
  try {
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; PRAGMA journal_size_limit=16777216')
    // In KiB, instead of 2 MiB: all is read once and answered from memory, so pages kept here are only in the daemon's way.
    db.exec('PRAGMA cache_size=-256')
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
    if (version > schemas.length)
      throw new CodedError('failed_precondition', `${path} has schema version ${version}, this daemon knows ${schemas.length}`)
    const integrity = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (integrity !== 'ok') throw new CodedError('data_loss', `${path} is damaged: ${String(integrity)}`)
    if (version < schemas.length)
      db.exec(`BEGIN; ${schemas.slice(version).join('')} PRAGMA user_version = ${schemas.length}; COMMIT`)
    return db
  } catch (err) {
    db.close()
    throw err
  }
}

// SQLITE_FULL, or SQLITE_IOERR where the shared memory file cannot grow.
const isFull = (err: unknown): boolean => [13, 10].includes(resultCodeOf(err))

const resultCodeOf = (err: unknown): number => (err instanceof Error && 'errcode' in err ? Number(err.errcode) & 0xff : 0)

/** SQLite tells that it could not write or open a file, not why: we see it by writing one of our own. */
function diskErrorOf(err: unknown, path: string): unknown {
  // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN.
  if (![8, 10, 13, 14].includes(resultCodeOf(err))) return err
  const probe = `${path}-probe`
  try {
    writeFileSync(probe, Buffer.alloc(16_384), { mode: 0o600, flush: true })
  } catch (seen) {
    const trouble = diskTroubleOf(seen, dirname(path))
    return trouble === undefined ? err : namingDisk(new DiskError(trouble, explain(err), { cause: seen }), dirname(path))
  } finally {
    unlessErrno(['EROFS', 'EIO'], () => rmSync(probe, { force: true }), undefined)
  }
  // There is some, but not as much as it wanted.
  return resultCodeOf(err) === 13 ? namingDisk(new DiskError('no space', explain(err)), dirname(path)) : err
}

function refill(path: string): void {
  if (existsSync(path)) return
  try {
    const fd = openSync(path, 'wx', 0o600)
    try {
      writeSync(fd, Buffer.alloc(ballastBytes))
    } finally {
      closeSync(fd)
    }
  } catch {
    // Full now: later, when there is space.
    rmSync(path, { force: true })
  }
}
