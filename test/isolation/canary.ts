// The oracle of the escape kit: things of this machine that a container must not change, counted from outside before and after.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { run } from '@coracle/testkit/program'
import type { Bed } from './suite.ts'

/** What the canary's file holds: it must never be seen in a container. */
export const canaryText = 'canary-of-the-node'

export class Canary implements AsyncDisposable {
  readonly directory = makeOwnDirectory('coracle-canary-')
  readonly #bed: Bed
  #before: Readonly<Record<string, string>> = {}

  static async make(bed: Bed): Promise<Canary> {
    const canary = new Canary(bed)
    writeFileSync(join(canary.directory, 'file'), canaryText)
    mkdirSync(join(canary.directory, 'sub'))
    writeFileSync(join(canary.directory, 'sub', 'file'), canaryText)
    canary.#before = await canary.#look()
    return canary
  }

  constructor(bed: Bed) {
    this.#bed = bed
  }

  /** A relative path to it from the root of whatever tree, and from a few levels below. */
  get upwards(): string {
    return `${'../'.repeat(12)}${this.directory.slice(1)}`
  }

  /** At the end of the scope nothing may have changed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const after = await this.#look()
    rmSync(this.directory, { recursive: true })
    assert.deepEqual(after, this.#before)
  }

  async #look(): Promise<Readonly<Record<string, string>>> {
    const files = await run(['/usr/bin/find', this.directory, '-printf', '%p %y %m %U %s %i %T@ %l\\n'])
    return {
      files: files.stdout.split('\n').toSorted().join('\n'),
      content: [join(this.directory, 'file'), join(this.directory, 'sub', 'file')]
        .map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : 'gone'))
        .join(' '),
      devices: devices.map(deviceAt).join('\n'),
      corePattern: readFileSync('/proc/sys/kernel/core_pattern', 'utf8'),
      programs: ['/usr/bin/crun', '/usr/sbin/runc', '/usr/bin/runsc', '/usr/bin/conmon', '/usr/bin/catatonit']
        .map(hashOf)
        .join(' '),
      daemon: String(this.#bed.cri.node.pid()),
    }
  }
}

// What runtimes make in a container's /dev. Others of the node come and go with other work.
const devices = [
  'console',
  'full',
  'null',
  'ptmx',
  'pts',
  'random',
  'shm',
  'stdin',
  'stdout',
  'tty',
  'urandom',
  'zero',
  'fd',
  'x',
  'file',
]

/** Kind, inode and number: a link or a new node in its place would be another. */
function deviceAt(name: string): string {
  const info = lstatSync(`/dev/${name}`, { throwIfNoEntry: false })
  return info === undefined ? `${name} -` : `${name} ${info.mode >> 12} ${info.ino} ${info.rdev}`
}

const hashOf = (path: string): string =>
  existsSync(path)
    ? createHash('sha256')
        .update(readFileSync(realpathSync(path)))
        .digest('hex')
    : 'none'
