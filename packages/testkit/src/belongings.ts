// What a test, a benchmark or the demonstration makes on the machine is written down before it is made, in a directory named by the process
// it belongs to. Whoever finds the directory of a dead process knows what to take away, and that it was nobody else's: reclaim.ts.
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readText } from './may-be-gone.ts'
import { mayLive, type OwnerName, ownerName } from './owner.ts'
import { undoOnSignal } from './signals.ts'

export type Belonging =
  /** With the processes that work in it, the mounts below it, and the cgroups and firewall rules of the ids it mentions. */
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string }
  /** A program of ours, to be ended before the rest: SIGTERM, then SIGKILL. */
  | { readonly kind: 'process'; readonly owner: OwnerName }
  /** The firewall rules that mention the network's name or its addresses (`10.211.7.`). */
  | { readonly kind: 'network'; readonly name: string; readonly subnetPrefix: string }
  /** A bridge. It stays as long as it has ports: they are somebody's. */
  | { readonly kind: 'link'; readonly name: string }
  /** `/name` below the root of every hierarchy, with its processes and all below it. */
  | { readonly kind: 'cgroup'; readonly path: string }
  /** A name of ip-netns(8). */
  | { readonly kind: 'netns'; readonly name: string }

export interface Owned extends Disposable {
  /** It is gone, or meant to stay: forgets it. */
  release(): void
}

/** Environment variable that every process below an owner inherits. */
export const ownerVariable = 'CORACLE_TEST_OWNER'

/** One directory for all users of testkit on the machine, whatever their TMPDIR is. */
const recordsDirectory = `/tmp/coracle-tests-${process.getuid?.() ?? 0}`

let own: { readonly name: OwnerName; readonly directory: string } | undefined
let serial = 0

/** Writes down that this process owns something, which it then makes. From the first call on a signal undoes what is owned. */
export function belong(thing: Belonging): Owned {
  const path = join(ownDirectoryOfRecords(), `${++serial}.json`)
  writeFileSync(path, JSON.stringify(thing))
  const release = () => rmSync(path, { force: true })
  return { release, [Symbol.dispose]: release }
}

/** A new directory below TMPDIR that belongs to this process. Once it is removed, it is forgotten. */
export function makeOwnDirectory(prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix))
  belong({ kind: 'directory', path })
  return path
}

/** The name by which everything that this process starts can be known, set in its environment. */
export function thisOwner(): OwnerName {
  ownDirectoryOfRecords()
  return own?.name ?? ''
}

function ownDirectoryOfRecords(): string {
  if (own !== undefined) return own.directory
  const name = ownerName(process.pid)
  if (name === undefined) throw new Error('/proc does not show this process')
  const directory = join(openRecords(), name)
  mkdirSync(directory, { mode: 0o700 })
  writeFileSync(join(directory, 'owner'), name)
  own = { name, directory }
  process.env[ownerVariable] = name
  process.once('exit', forgetWhatIsGone)
  undoOnSignal()
  return directory
}

/** Also what nobody else could have put there: root acts on what it reads in it. */
function openRecords(): string {
  mkdirSync(recordsDirectory, { recursive: true, mode: 0o700 })
  const stat = lstatSync(recordsDirectory)
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0)
    throw new Error(`${recordsDirectory}: expected a directory that only uid ${process.getuid?.()} can write to`)
  return recordsDirectory
}

function forgetWhatIsGone(): void {
  if (own === undefined || !existsSync(own.directory)) return
  const names = readdirSync(own.directory).filter((name) => name !== 'owner')
  const gone = names.filter((name) => isGone(parse(join(own?.directory ?? '', name))))
  for (const name of gone) rmSync(join(own.directory, name))
  if (gone.length === names.length) rmSync(own.directory, { recursive: true })
}

function isGone(thing: Belonging | undefined): boolean {
  if (thing === undefined) return true
  if (thing.kind === 'process') return !mayLive(thing.owner)
  return (thing.kind === 'directory' || thing.kind === 'file') && !existsSync(thing.path)
}

/** What was somebody's and is now ours to take away. */
export interface Estate {
  readonly owner: OwnerName
  readonly things: readonly Belonging[]
  /** All of it is gone. */
  close(): void
}

/** Takes over what belonged to dead processes; nobody else gets the same. With `owner`, also to that living one. */
export function takeEstates(owner?: OwnerName): Estate[] {
  return readdirSync(openRecords())
    .filter((name) => name.split('~')[0] === owner || !mayLive(name.split('~')[0] ?? ''))
    .flatMap((name) => takeOver(name) ?? [])
}

/** The directory takes our name: when we die before it is empty, it is found as ours. */
function takeOver(name: string): Estate | undefined {
  const directory = join(recordsDirectory, `${ownerName(process.pid)}~${process.hrtime.bigint()}`)
  try {
    renameSync(join(recordsDirectory, name), directory)
  } catch {
    // Somebody else was quicker.
    return undefined
  }
  const records = readdirSync(directory).filter((file) => file.endsWith('.json'))
  return {
    owner: readText(join(directory, 'owner')),
    things: records.flatMap((file) => parse(join(directory, file)) ?? []),
    close: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Undefined for a record that its writer did not live to finish: what it names was not made. */
function parse(path: string): Belonging | undefined {
  try {
    // Our own writing, in a directory that nobody else can write to.
    return JSON.parse(readText(path)) as Belonging
  } catch {
    return undefined
  }
}
