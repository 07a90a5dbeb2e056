// Layers whose small files a second thread makes come out as those that one thread makes alone.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { CodedError } from '@coracle/base/errors'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { createUnpackWorld, type UnpackWorld } from './unpack-world.ts'

// From one MiB of blob on there is a second thread.
const ballast: RawEntry = { name: 'zz-ballast', body: randomBytes(1_200_000) }

/** The same numbers for the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >> 8) % sides
  }
}

function randomArchive(seed: number): RawEntry[] {
  const roll = dice(seed)
  const pick = (letters: string) => letters[roll(letters.length)] ?? ''
  const directory = () => Array.from({ length: 1 + roll(2) }, () => pick('abc')).join('/')
  const file = () => (roll(5) === 0 ? pick('xyz') : `${directory()}/${pick('xyz')}${roll(9)}`)
  const files: string[] = []
  return Array.from({ length: 250 }, (_, i): RawEntry => {
    const kind = roll(40)
    if (kind < 22) {
      // Now and then in place of a directory; what is below it later is refused.
      const name = roll(200) === 0 ? directory() : file()
      files.push(name)
      const mode = [0o644, 0o600, 0o4755][roll(3)] ?? 0o644
      return { name, body: `${i}`.repeat(roll(200)), mode, uid: roll(3), gid: roll(2), mtime: roll(1e9) }
    }
    if (kind < 32) return { name: directory(), type: '5', mode: 0o755, mtime: roll(1e9) }
    if (kind < 34) return { name: file(), type: '2', link: directory(), mode: 0o777 }
    if (kind < 37 && files.length > 0) return { name: file(), type: '1', link: files[roll(files.length)] ?? '' }
    return { name: `${directory()}/.wh.${pick('xyz')}${roll(9)}` }
  })
}

describe('small files beside', needsRoot(), () => {
  let world: UnpackWorld
  before(async () => {
    world = await createUnpackWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const outcome = async (entries: readonly RawEntry[]): Promise<unknown> => {
    try {
      const { tree, inodes, usedBytes, impliedDirectories } = await world.unpack(rawTar(...entries), {
        limits: { maxEntries: 100_000 },
      })
      const { 'zz-ballast': big, ...others } = tree
      const [moreBytes, moreInodes] = big === undefined ? [0, 0] : [Math.ceil(1_200_000 / 4096) * 4096, 1]
      return {
        others,
        inodes: inodes - moreInodes,
        usedBytes: usedBytes - moreBytes,
        impliedDirectories: [...impliedDirectories].sort(),
      }
    } catch (err) {
      assert.ok(err instanceof CodedError)
      return err.code
    }
  }

  test('random archives: duplicates, links, whiteouts, replaced directories', async () => {
    let [whole, refused] = [0, 0]
    for (let seed = 1; seed <= 40; seed++) {
      const entries = randomArchive(seed)
      const [alone, beside] = [await outcome(entries), await outcome([...entries, ballast])]
      assert.ok(isDeepStrictEqual(beside, alone), `seed ${seed}: another outcome`)
      if (typeof alone === 'string') refused++
      else whole++
    }
    assert.ok(whole > 5 && refused > 0, `${whole} whole, ${refused} refused: not much of a test`)
  })

  test('thousands of files, some too large for the second thread, all whole', async () => {
    const directories = Array.from({ length: 20 }, (_, i): RawEntry => ({ name: `d${i}`, type: '5', mode: 0o755, mtime: 5 }))
    const files = Array.from(
      { length: 5000 },
      (_, i): RawEntry => ({ name: `d${i % 20}/f${i}`, body: `${i}`.repeat((i % 97) * (i % 500 === 0 ? 500 : 1)), mtime: i }),
    )
    assert.ok(isDeepStrictEqual(await outcome([...directories, ...files, ballast]), await outcome([...directories, ...files])))
  })

  test('a file that cannot be made is named, and the next layer is none the worse', async () => {
    const bad: RawEntry[] = [{ name: 'd', type: '5', mode: 0o755 }, { name: 'd/f' }, ballast, { name: 'd/f/below' }]
    await assert.rejects(world.unpack(rawTar(...bad)), (err) => err instanceof CodedError && err.code === 'invalid_argument')
    const good: RawEntry[] = [{ name: 'd', type: '5', mode: 0o755 }, { name: 'd/f', body: 'whole' }, ballast]
    assert.equal((await world.unpack(rawTar(...good))).tree['d/f'], 'f644 whole')
  })

  test('two layers at once: one has the thread, the other does without', async () => {
    const layer = (name: string) => [
      { name, type: '5', mode: 0o755 } satisfies RawEntry,
      ...Array.from({ length: 500 }, (_, i): RawEntry => ({ name: `${name}/f${i}`, body: name })),
      ballast,
    ]
    const [one, two] = await Promise.all(['one', 'two'].map((name) => world.unpack(rawTar(...layer(name)))))
    assert.equal(one?.tree['one/f499'], 'f644 one')
    assert.equal(two?.tree['two/f499'], 'f644 two')
    assert.equal(Object.keys(two?.tree ?? {}).length, 502)
  })
})
