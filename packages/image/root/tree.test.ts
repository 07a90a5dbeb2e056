// The record of a layer's tree: it agrees with what extraction makes of every odd archive, and finds what a disk may do to a layer.
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createHost } from '@coracle/host'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { needsRoot } from '@coracle/testkit/needs-root'
import { paxHeader, type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { checkTrees } from '../src/tree/check.ts'
import type { LayerVerdict } from '../src/tree/check-tasks.ts'
import { recordName } from '../src/unpack/messages.ts'
import { accepted, dir, file, hardlink, symlink } from './hostile-archives.ts'
import { createUnpackWorld, type Unpacked, type UnpackWorld } from './unpack-world.ts'

const host = createHost()
const sys = loadUnpackSyscalls()

describe('tree records', needsRoot(), () => {
  let world: UnpackWorld
  before(async () => {
    world = await createUnpackWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const check = async (layers: readonly Unpacked[], deep: boolean): Promise<readonly LayerVerdict[]> => {
    const tasks = layers.map(({ path, treeDigest }, number) => {
      const directory = basename(path)
      const blob = { path: 'none', digest: 'sha256:' }
      const skeleton = { path: 'none', digest: undefined }
      return { number, directory, record: recordName(directory), recordDigest: treeDigest, blob, skeleton }
    })
    const cacheDirectory = join(world.directory, 'cache')
    const store = join(world.directory, 'staging')
    return checkTrees({ processes: host.processes, cacheDirectory }, { store, deep, tasks }, AbortSignal.timeout(60_000))
  }

  test('every archive that is accepted unpacks to what its record says', async () => {
    const layers: Unpacked[] = []
    for (const [, parts] of accepted) layers.push(await world.unpack(rawTar(...parts)))
    const deepPath = `${'d/'.repeat(2000)}f`
    const others: readonly (readonly (RawEntry | Buffer)[])[] = [
      [],
      [dir('./', { mode: 0o777, uid: 3, mtime: 1000 }), file('a')],
      [paxHeader({ path: deepPath }), file('x')],
      [
        dir('d', { mtime: 1234 }),
        paxHeader({ mtime: '-5.25' }),
        file('d/g'),
        paxHeader({ mtime: String(2 ** 40) }),
        file('late'),
      ],
      [
        dir('a'),
        symlink('l', 'a/../b/./c'),
        file('l/x'),
        symlink('b/c/up', '../..'),
        file('b/c/up/top'),
        hardlink('h', 'b/c/up/top'),
      ],
      // The inode of what is replaced may be given out again.
      [dir('r', { mtime: 5 }), file('r', 'x', { mtime: 9 }), dir('t', { mtime: 5 }), symlink('t', 'r'), dir('u', { mtime: 5 })],
      [file('.wh.gone', ''), file('gone/x'), symlink('s', 'gone'), file('s/.wh.y', ''), file('s/y/z')],
      Array.from({ length: 12_000 }, (_, i) => file(`d${i % 50}/f${i}`, String(i))),
    ]
    for (const parts of others) layers.push(await world.unpack(rawTar(...parts), { signal: AbortSignal.timeout(120_000) }))
    for (const verdict of await check(layers, true))
      assert.deepEqual(verdict.problems, [], accepted[verdict.number]?.[0] ?? `number ${verdict.number - accepted.length}`)
  })

  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
  const sample = rawTar(
    dir('./'),
    dir('d', { mtime: 7 }),
    file('d/text', 'some text', { mtime: 7 }),
    file('d/other', 'other', { mtime: 7 }),
    hardlink('hard', 'd/text'),
    symlink('link', 'd/text'),
    file('d/.wh.gone', ''),
    dir('o'),
    file('o/.wh..wh..opq', ''),
    { name: 'dev', type: '3', major: 1, minor: 3 },
    paxHeader({ 'SCHILY.xattr.security.capability': capability }),
    file('ping', 'x'),
  )
  const inDirectory = (change: (at: (name: string) => string) => void) => (path: string) => {
    change((name) => join(path, name))
    // As if the disk had lost it, not as if somebody had worked there.
    utimesSync(join(path, 'd'), 7, 7)
    utimesSync(path, 0, 0)
  }
  const damages: readonly (readonly [string, RegExp, (path: string) => void])[] = [
    ['a missing file', /"d\/other" is missing/, inDirectory((at) => unlinkSync(at('d/other')))],
    ['a missing directory', /"o" is missing/, inDirectory((at) => rmSync(at('o'), { recursive: true }))],
    ['an extra file', /"d\/extra" does not belong there/, inDirectory((at) => writeFileSync(at('d/extra'), ''))],
    ['a truncated file', /"d\/other" has 2 bytes, expected 5/, (path) => truncateSync(join(path, 'd/other'), 2)],
    ['an empty file', /"d\/other" has 0 bytes, expected 5/, (path) => truncateSync(join(path, 'd/other'), 0)],
    ['a changed mode', /"d\/other" has the mode 600, expected 644/, (path) => chmodSync(join(path, 'd/other'), 0o600)],
    ['a changed owner', /"d\/other" belongs to 5:6, expected 0:0/, (path) => chownSync(join(path, 'd/other'), 5, 6)],
    ['a changed time', /"d\/other" was changed at 9, expected 7/, (path) => lutimesSync(join(path, 'd/other'), 9, 9)],
    [
      'a file in place of a directory',
      /"o" is a file, expected a directory/,
      inDirectory((at) => {
        rmSync(at('o'), { recursive: true })
        writeFileSync(at('o'), '')
      }),
    ],
    [
      'a link that leads elsewhere',
      /"link" leads elsewhere/,
      inDirectory((at) => {
        unlinkSync(at('link'))
        symlinkSync('d/elsewhere', at('link'))
        lutimesSync(at('link'), 0, 0)
      }),
    ],
    ['a lost whiteout', /"d\/gone" is missing/, inDirectory((at) => unlinkSync(at('d/gone')))],
    [
      'a directory that no longer hides',
      /"o" no longer hides/,
      inDirectory((at) => {
        rmSync(at('o'), { recursive: true })
        mkdirSync(at('o'), 0o755)
        utimesSync(at('o'), 0, 0)
      }),
    ],
    [
      'another device',
      /"dev" is another device/,
      inDirectory((at) => {
        unlinkSync(at('dev'))
        sys.makeNode(Buffer.from(at('dev')), { kind: 'character', mode: 0o644, major: 1, minor: 5 })
        utimesSync(at('dev'), 0, 0)
      }),
    ],
    [
      'lost capabilities',
      /"ping" has lost its capabilities/,
      (path) => sys.setXattr(Buffer.from(join(path, 'ping')), 'security.capability', Buffer.from(capability).fill(1, 4, 5)),
    ],
    ['a missing layer', /its directory is missing/, (path) => renameSync(path, `${path}.away`)],
    ['a missing record', /its tree record is missing/, (path) => unlinkSync(`${path}.tree`)],
    ['a damaged record', /its tree record is damaged/, (path) => truncateSync(`${path}.tree`, 30)],
  ]
  test('finds every damage without reading content', async () => {
    const layers: Unpacked[] = []
    for (const _ of damages) layers.push(await world.unpack(sample))
    for (const { problems } of await check(layers, true)) assert.deepEqual(problems, [])
    damages.forEach(([, , damage], i) => {
      damage(layers[i]?.path ?? '')
    })
    const verdicts = await check(layers, false)
    damages.forEach(([what, expected], i) => {
      assert.match(verdicts[i]?.problems.join('\n') ?? '', expected, what)
      assert.equal(verdicts[i]?.problemCount, 1, what)
    })
  })

  test('finds changed content only by reading it, once for all hard links', async () => {
    const layer = await world.unpack(sample)
    const path = join(layer.path, 'd/text')
    writeFileSync(path, 'some TEXT')
    utimesSync(path, 7, 7)
    assert.deepEqual((await check([layer], false))[0]?.problems, [])
    const [verdict] = await check([layer], true)
    assert.deepEqual([verdict?.problemCount, /has other content/.test(verdict?.problems[0] ?? '')], [1, true])
  })

  test('a link that took the place of a directory is not followed', async () => {
    const layer = await world.unpack(sample)
    renameSync(join(layer.path, 'd'), join(world.directory, 'moved'))
    symlinkSync(join(world.directory, 'moved'), join(layer.path, 'd'))
    linkSync(join(world.directory, 'moved/text'), join(world.directory, 'kept'))
    utimesSync(layer.path, 0, 0)
    assert.deepEqual((await check([layer], true))[0]?.problems, ['"d" is a symlink, expected a directory'])
  })

  test('tells the first twenty of many', async () => {
    const layer = await world.unpack(rawTar(...Array.from({ length: 100 }, (_, i) => file(`f${i}`))))
    for (let i = 0; i < 50; i++) unlinkSync(join(layer.path, `f${i}`))
    const [verdict] = await check([layer], false)
    assert.deepEqual([verdict?.problemCount, verdict?.problems.length], [50, 20])
  })
})
