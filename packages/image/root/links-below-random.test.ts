// Random images with hard links into lower layers, held against a model: all layers put into one plain directory, one after the other.
import assert from 'node:assert/strict'
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { dir, file, hardlink } from './hostile-archives.ts'
import { createImagesWorld, soon } from './images-world.ts'

const names = ['a', 'b', 'c']
const rounds = 40

/** Numbers that are the same in each run of the same seed (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** What one entry does to a plain directory; false when it cannot be. */
function apply(root: string, { name, type, link, body }: RawEntry): boolean {
  const path = join(root, String(name))
  const at = (other: string) => lstatSync(other, { throwIfNoEntry: false })
  if (type === '5') {
    if (!at(path)?.isDirectory()) {
      rmSync(path, { force: true })
      mkdirSync(path)
    }
    return true
  }
  if (type === '1') {
    const target = join(root, String(link))
    if (target === path || !at(target)?.isFile() || at(path)?.isDirectory()) return false
    rmSync(path, { force: true })
    linkSync(target, path)
    return true
  }
  if (at(path)?.isDirectory()) return false
  rmSync(path, { force: true })
  writeFileSync(path, body ?? '')
  return true
}

/** Names and contents, and which names of the topmost layer's links are one file. */
function lookOf(root: string, linked: readonly (readonly [string, string])[]) {
  const tree: Record<string, string> = {}
  for (const top of readdirSync(root)) {
    const path = join(root, top)
    if (!lstatSync(path).isDirectory()) tree[top] = readFileSync(path, 'utf8')
    else for (const name of readdirSync(path)) tree[`${top}/${name}`] = readFileSync(join(path, name), 'utf8')
  }
  const inode = (name: string) => lstatSync(join(root, name), { throwIfNoEntry: false })?.ino
  return { tree, together: linked.map(([a, b]) => inode(a) === inode(b)) }
}

describe('random hard links into lower layers', needsRoot(), () => {
  test('are what one directory for all layers would have', async () => {
    await using world = await createImagesWorld()
    let deep = 0
    for (let seed = 1; seed <= rounds; seed++) {
      const random = randomOf(seed)
      const pick = () => `d${random(2)}/${names[random(names.length)]}`
      const model = mkdtempSync(join(world.directory, 'model-'))
      const layers: RawEntry[][] = []
      let linked: (readonly [string, string])[] = []
      for (let number = 0; number < 4; number++) {
        const layer: RawEntry[] = []
        linked = []
        const own = new Set<string>()
        // Whiteouts come first: they speak about the layers below.
        for (let i = random(3); number > 0 && i > 0; i--) {
          const gone = pick()
          if (lstatSync(join(model, gone), { throwIfNoEntry: false }) === undefined) continue
          unlinkSync(join(model, gone))
          layer.push(file(gone.replace('/', '/.wh.'), ''))
        }
        if (number === 0) for (const d of ['d0', 'd1']) layer.push(dir(d))
        for (let i = 1 + random(6); i > 0; i--) {
          const name = pick()
          const link = pick()
          const entry = number > 0 && random(2) === 0 ? hardlink(name, link) : file(name, `${seed}.${number}.${i}`)
          if (number === 0 && layer.length === 2) for (const each of layer) apply(model, each)
          if (!apply(model, entry)) continue
          layer.push(entry)
          linked = linked.filter(([a, b]) => a !== name && b !== name)
          if (entry.type === '1') {
            linked.push([name, link])
            if (!own.has(link)) deep++
          }
          own.add(name)
        }
        layers.push(layer)
      }
      const sources = layers.map((layer) => rawTar(...layer)).map((tar) => ({ tar, blob: gzipSync(tar) }))
      world.registry.addImage(`random${seed}`, '1', sources)
      const { id } = await world.pull(`random${seed}:1`)
      const { path } = await world.images.createRootfs({ key: 'look', image: id }, soon())
      assert.deepEqual(lookOf(path, linked), lookOf(model, linked), `seed ${seed}`)
      await world.images.removeRootfs('look')
    }
    assert.ok(deep > rounds / 2, `${deep} links led below`)
    const findings: string[] = []
    const onFinding = ({ problems }: { readonly problems: readonly string[] }) => void findings.push(...problems)
    await world.images.check({ deep: true, repair: false, onFinding }, soon())
    assert.deepEqual(findings, [])
  })
})
