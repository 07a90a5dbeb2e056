// What is seen of images that come into the store by other ways than a pull: in the list of pulls, and on the terminal of the command.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { connect } from '@coracle/cri-api'
import { Imports } from '@coracle/cri-api/imports'
import { Moving } from '@coracle/cri-api/moving'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startNode, type TestNode } from '@coracle/testkit/node'
import { run } from '@coracle/testkit/program'
import { slowRegistry } from '@coracle/testkit/slow-registry'
import { coraclePath, MovingWorld } from './moving-world.ts'

interface Listed {
  readonly image: string
  readonly phase?: string
  readonly downloadedBytes?: string
  readonly totalBytes?: string
  readonly waiters?: readonly string[]
  readonly layers?: readonly { readonly digest: string; readonly state?: string }[]
}

describe('progress of images that move', needsRoot(), () => {
  let world: MovingWorld
  let node: TestNode
  before(async () => {
    world = await MovingWorld.open()
    node = await startNode()
    world.socket = node.world.socket
    await world.coracle('copy', '-q', `docker://${world.images.big}`, `oci-archive:${world.path('big.tar')}:x`)
  })
  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await world?.[Symbol.asyncDispose]()
  })
  const listed = async () => (JSON.parse(await world.coracle('pulls', '-o', 'json')).pulls ?? []) as Listed[]

  it('an import under way is listed: who brings it, how much is here; then it is gone', async () => {
    const blob = Buffer.alloc(3000, 'x')
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
    await using client = connect(node.world.socket)
    const [moving, imports] = [client.service(Moving), client.service(Imports)]
    const leave = new AbortController()
    const stream = moving.openImport({}, { signal: leave.signal })[Symbol.asyncIterator]()
    const { importId } = (await stream.next()).value ?? { importId: '' }
    assert.deepEqual(await listed(), [])
    const blobs = [{ digest, size: 3000n }]
    await imports.describeImport({ importId, name: 'example.org/app:1', waiter: 'coracle load', blobs })
    await moving.writeBlob({ importId, digest, offset: 0n, data: blob.subarray(0, 1000) })
    const [pull] = await listed()
    assert.equal(pull?.image, 'example.org/app:1')
    assert.deepEqual(pull?.waiters, ['coracle load'])
    assert.deepEqual([pull?.downloadedBytes, pull?.totalBytes], ['1000', '3000'])
    assert.match(await world.coracle('pulls'), /example\.org\/app:1 +0\/1, 1 coming +1kB \/ 3kB .*coracle load/)
    for await (const { layers } of imports.watchImport({ importId })) {
      assert.equal(layers[0]?.downloadedBytes, 1000n)
      break
    }
    for (const name of ['', 'two\nlines', '\u001b[31m'])
      await assert.rejects(imports.describeImport({ importId, name, waiter: 'me', blobs }), /name .* must be one line/)
    leave.abort()
    await stream.next().catch(() => {})
    await eventually('it is gone', async () => (await listed()).length === 0)
  })

  it('load, copy and import paint bars on a terminal, which are gone at the end, and none elsewhere', async () => {
    const on = `${coraclePath} -r unix://${node.world.socket}`
    // Long enough for several pictures, however quick the machine is.
    await using slow = await slowRegistry(world.host, { blobDelayMs: 400 })
    const from = world.images.entry.replace(world.host, slow.host)
    const commands = [
      { words: `load -i ${world.path('big.tar')} -t example.org/loaded:1`, title: 'loading example.org/loaded:1', bars: false },
      { words: `copy docker://${from} example.org/copied:1`, title: `copying docker://${from}`, bars: true },
      { words: `import ${world.path('big.tar')} example.org/imported:1`, title: 'importing example.org/imported:1', bars: false },
      { words: `save -o ${world.path('saved.tar')} example.org/loaded:1`, title: 'saving example.org/loaded:1', bars: false },
    ]
    for (const { words, title, bars } of commands) {
      const seen = await run(['script', '-qfec', `stty columns 160; ${on} ${words}`, '/dev/null'], 120_000)
      assert.equal(seen.exitCode, 0, seen.stdout)
      assert.match(seen.stdout, new RegExp(`${title.replaceAll('/', '\\/')}`), words)
      if (bars) assert.match(seen.stdout, /total +[█░]+ .*\/\d+ layers/, words)
      const end = seen.stdout.slice(seen.stdout.lastIndexOf('\u001b[J'))
      assert.doesNotMatch(end, /[█░]/, words)
    }
    const plain = await run(['sh', '-c', `${on} load -i ${world.path('big.tar')} -t example.org/again:1`], 120_000)
    assert.equal(plain.exitCode, 0, plain.stderr)
    assert.doesNotMatch(plain.stdout + plain.stderr, /[█\u001b]/)
    const quiet = await run(['script', '-qfec', `${on} load -q -i ${world.path('big.tar')}`, '/dev/null'], 120_000)
    assert.match(quiet.stdout, /^sha256:[0-9a-f]{64}\r\n$/)
    assert.ok(readFileSync(world.path('saved.tar')).length > 12 << 20)
    for (const name of ['loaded', 'copied', 'imported']) await world.coracle('rmi', `example.org/${name}:1`)
  })
})
