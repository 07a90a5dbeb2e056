import assert from 'node:assert/strict'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { UsageError } from '../usage-error.ts'
import { extract, staysInside } from './extract.ts'
import { parsePlace, splitPath } from './places.ts'
import { formatHeader, paddingOf } from './tar-header.ts'
import { readTar } from './tar-reader.ts'
import { writeTar } from './tar-writer.ts'

const scratch = mkdtempSync(join(tmpdir(), 'coracle-cp-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let serial = 0
const fresh = (): string => {
  const path = join(scratch, String(serial++))
  mkdirSync(path)
  return path
}

type Sent = { name: string; type?: string; link?: string; body?: string; mode?: number }

function archive(...sent: Sent[]): Buffer {
  const pieces = sent.map(({ name, type = '0', link = '', body = '', mode = 0o644 }) =>
    Buffer.concat([
      formatHeader({ name, type, link, mode, sizeBytes: body.length, mtimeSeconds: 1_000_000_000 }),
      Buffer.from(body),
      Buffer.alloc(paddingOf(body.length)),
    ]),
  )
  return Buffer.concat([...pieces, Buffer.alloc(1024)])
}

/** In pieces of an odd size, as they may come. */
async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
}

async function unpack(root: string, ...sent: Sent[]): Promise<string[]> {
  const warnings: string[] = []
  const options = { name: 'x', destination: join(root, 'x'), warn: (text: string) => void warnings.push(text) }
  await extract(readTar(pieces(archive(...sent))), options)
  return warnings
}

test('a tree there and back is the same', async () => {
  const [from, to] = [fresh(), fresh()]
  mkdirSync(join(from, 'x/d'), { recursive: true })
  const long = 'long'.repeat(40)
  writeFileSync(join(from, 'x', long), 'a'.repeat(1000), { mode: 0o640 })
  writeFileSync(join(from, 'x/d/ümlaut'), '')
  symlinkSync(`../${long}`, join(from, 'x/d/link'))
  const warn = (text: string) => assert.fail(text)
  await extract(readTar(writeTar(join(from, 'x'), { name: 'x', warn })), { name: 'x', destination: join(to, 'x'), warn })
  assert.deepEqual(readdirSync(to, { recursive: true }).sort(), readdirSync(from, { recursive: true }).sort())
  assert.equal(readFileSync(join(to, 'x/d/link'), 'utf8'), 'a'.repeat(1000))
  assert.equal(lstatSync(join(to, 'x', long)).mode & 0o777, 0o640)
})

test('names that lead elsewhere are refused', async () => {
  for (const name of ['/x', '../x', 'x/../../y', 'y', 'x/./a', 'x//a', '..', 'xy/a', 'x/..'])
    await assert.rejects(unpack(fresh(), { name, body: 'evil' }), { code: 'invalid_argument' }, name)
})

test('nothing is written through a link', async () => {
  const outside = fresh()
  const root = fresh()
  const warnings = await unpack(root, { name: 'x/', type: '5' }, { name: 'x/out', type: '2', link: outside })
  assert.match(warnings.join(), /leads out/)
  symlinkSync(outside, join(root, 'x/mine'))
  await assert.rejects(unpack(root, { name: 'x/mine/evil', body: 'evil' }), { code: 'failed_precondition' })
  await unpack(root, { name: 'x/d/', type: '5' }, { name: 'x/l', type: '2', link: 'd' })
  await assert.rejects(unpack(root, { name: 'x/l/evil', body: 'evil' }), { code: 'failed_precondition' })
  symlinkSync(join(outside, 'target'), join(root, 'x/file'))
  await unpack(root, { name: 'x/file', body: 'new' })
  assert.ok(lstatSync(join(root, 'x/file')).isFile())
  assert.deepEqual(readdirSync(outside), [])
  await assert.rejects(unpack(fresh(), { name: 'x', type: '2', link: '/etc' }), { code: 'failed_precondition' })
})

test('links stay below what is copied', async () => {
  for (const [parts, target] of [
    [['a'], 'b'],
    [['d', 'a'], '../b/c'],
    [['a'], './b'],
    [['a', 'b', 'c'], '../../x'],
  ] as const)
    assert.ok(staysInside(parts, target), target)
  for (const [parts, target] of [
    [['a'], '..'],
    [['a'], '../b'],
    [['a'], '/etc'],
    [['d', 'e', 'a'], 'l/..'],
    [['a'], ''],
  ] as const)
    assert.ok(!staysInside(parts, target), target)
  const root = fresh()
  await unpack(root, { name: 'x/', type: '5' }, { name: 'x/a', body: 'A' }, { name: 'x/h', type: '1', link: 'x/a' })
  assert.equal(readFileSync(join(root, 'x/h'), 'utf8'), 'A')
  for (const link of ['/etc/passwd', 'x/../../etc/passwd', 'x/absent'])
    await assert.rejects(unpack(root, { name: 'x/h2', type: '1', link }), { code: 'invalid_argument' }, link)
})

test('devices are left out and set-id bits dropped', async () => {
  const root = fresh()
  const warnings = await unpack(root, { name: 'x/', type: '5' }, { name: 'x/null', type: '3' }, { name: 'x/su', mode: 0o4755 })
  assert.equal(warnings.length, 1)
  assert.equal(lstatSync(join(root, 'x/su')).mode & 0o7777, 0o755)
  assert.throws(() => readlinkSync(join(root, 'x/null')))
})

test('damaged archives are refused', async () => {
  const good = archive({ name: 'x', body: 'abc' })
  const flipped = Buffer.from(good)
  flipped[3] = 0x41
  for (const bytes of [Buffer.alloc(0), good.subarray(0, 700), flipped, Buffer.from('no tar'.repeat(200))]) {
    const options = { name: 'x', destination: join(fresh(), 'x'), warn: () => undefined }
    await assert.rejects(extract(readTar(pieces(bytes)), options), { code: 'invalid_argument' })
  }
})

test('places', () => {
  assert.deepEqual(parsePlace('web:/etc'), { kind: 'container', container: 'web', path: '/etc' })
  for (const path of ['./a:b', '/a:b', 'a', ':x']) assert.deepEqual(parsePlace(path), { kind: 'local', path })
  for (const text of ['', 'web:']) assert.throws(() => parsePlace(text), UsageError)
  assert.deepEqual(splitPath('/etc/nginx/'), { directory: '/etc', name: 'nginx' })
  assert.deepEqual(splitPath('file'), { directory: '.', name: 'file' })
  assert.deepEqual(splitPath('/'), { directory: '/', name: '.' })
})
