import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { memoryScreen } from '../print/screen.ts'
import { LogSplitter, parseLogLine } from './cri-log.ts'
import { type PrintLogOptions, printLog } from './print-log.ts'
import { type ReadLogOptions, readLog } from './read-log.ts'
import { tailOffset } from './tail.ts'

const base = mkdtempSync(join(tmpdir(), 'cli-log-'))
after(() => rmSync(base, { recursive: true }))

const never = new AbortController().signal
const at = (second: number) => `2030-01-01T00:00:${String(second).padStart(2, '0')}.123456789Z`
const line = (second: number, text: string, tag = 'F', stream = 'stdout') => `${at(second)} ${stream} ${tag} ${text}\n`
const logFile = (text: string): string => {
  const path = join(mkdtempSync(join(base, 'x')), '0.log')
  writeFileSync(path, text)
  return path
}

async function shown(path: string, options: Partial<ReadLogOptions> = {}, print: PrintLogOptions = {}) {
  const [out, err] = [memoryScreen(), memoryScreen()]
  await printLog({ out, err }, readLog(path, { signal: never, ...options }), print)
  return { out: out.text(), err: err.text() }
}

test('a line of the log', () => {
  const entry = parseLogLine(Buffer.from(`${at(1)} stderr P:x a  b `))
  assert.deepEqual(
    { ...entry, message: String(entry.message) },
    { timestamp: at(1), stream: 'stderr', partial: true, message: 'a  b ' },
  )
  assert.equal(String(parseLogLine(Buffer.from(`${at(1)} stdout F`)).message), '')
  for (const text of ['', 'garbage', 'a b c', `${at(1)} stdin F x`])
    assert.equal(String(parseLogLine(Buffer.from(text)).message), text)
})

test('lines cut anywhere come out whole', () => {
  const bytes = Buffer.from(line(1, 'one') + line(2, 'two', 'P') + line(3, 'three'))
  const splitter = new LogSplitter()
  const seen: string[] = []
  for (const byte of bytes) for (const { message } of splitter.push(Buffer.from([byte]))) seen.push(String(message))
  assert.deepEqual([...seen, ...splitter.finish()], ['one', 'two', 'three'])
})

test('streams are kept apart, parts are joined, times come once a line', async () => {
  const path = logFile(line(1, 'a', 'P') + line(2, 'e', 'F', 'stderr') + line(3, 'b', 'P') + line(4, 'c'))
  assert.deepEqual(await shown(path), { out: 'abc\n', err: 'e\n' })
  assert.deepEqual(await shown(path, {}, { timestamps: true }), { out: `${at(1)} abc\n`, err: `${at(2)} e\n` })
  assert.deepEqual(await shown(path, {}, { stream: 'stderr' }), { out: '', err: 'e\n' })
  const ofConmon = logFile(line(1, 'a').replace('Z', '+00:00'))
  assert.equal((await shown(ofConmon, {}, { timestamps: true })).out, `${at(1)} a\n`)
})

test('since, limit, and a last line without its newline', async () => {
  const path = logFile(line(1, 'one') + line(2, 'two') + line(3, 'three').trimEnd())
  assert.equal((await shown(path, {}, { sinceMs: Date.parse(at(2)) })).out, 'two\nthree\n')
  assert.equal((await shown(path, {}, { limitBytes: 6 })).out, 'one\ntw')
})

test('the tail counts whole lines, over blocks and parts', async () => {
  const long = 'x'.repeat(50_000)
  const path = logFile(`${line(1, 'one')}${line(2, long, 'P')}${line(3, long)}${line(4, '')}${line(5, 'p', 'P')}${line(6, 'q')}`)
  const expected = ['', 'pq\n', '\npq\n', `${long}${long}\n\npq\n`, `one\n${long}${long}\n\npq\n`]
  for (const [tail, text] of expected.entries()) assert.equal((await shown(path, { tail })).out, text, `tail ${tail}`)
  assert.equal((await shown(path, { tail: 100 })).out, expected[4])
  for (const text of ['', 'x', '\n', '\n\n']) {
    await using file = await open(logFile(text))
    assert.equal(await tailOffset(file, 5, text.length), 0)
  }
})

test('without following, what is written meanwhile is left out: a program may write faster than we read', async () => {
  const path = logFile(line(1, 'one') + line(2, 'two'))
  const seen: string[] = []
  for await (const { message } of readLog(path, { signal: never, tail: 1 })) {
    if (seen.push(String(message)) > 3) break
    appendFileSync(path, line(3, 'more'))
  }
  assert.deepEqual(seen, ['two'])
})

test('no log is an error unless one may still come', async () => {
  await assert.rejects(shown('/nonexistent/0.log'), { code: 'not_found' })
})

test('following reads what is added, through rotations, to the last line', async () => {
  const path = logFile(line(1, 'one'))
  let running = true
  const followed = shown(path, { isGrowing: async () => running, pollMs: 20 })
  await sleep(50)
  appendFileSync(path, line(2, 'two'))
  await sleep(50)
  renameSync(path, `${path}.1`)
  appendFileSync(`${path}.1`, line(3, 'late'))
  writeFileSync(path, line(4, 'new'))
  await sleep(50)
  renameSync(path, `${path}.2`)
  writeFileSync(path, line(5, 'newer'))
  appendFileSync(path, line(6, 'last'))
  running = false
  assert.equal((await followed).out, 'one\ntwo\nlate\nnew\nnewer\nlast\n')
})

test('following starts before the file is there, and survives truncation', async () => {
  const path = logFile('')
  renameSync(path, `${path}.away`)
  let running = true
  const followed = shown(path, { isGrowing: async () => running, pollMs: 20 })
  await sleep(50)
  writeFileSync(path, line(1, 'one') + line(2, 'two'))
  await sleep(60)
  writeFileSync(path, line(3, 'x'))
  await sleep(60)
  running = false
  assert.equal((await followed).out, 'one\ntwo\nx\n')
})

test('following ends when interrupted', async () => {
  const controller = new AbortController()
  const followed = shown(logFile(line(1, 'one')), { isGrowing: async () => true, signal: controller.signal, pollMs: 10_000 })
  await sleep(30)
  controller.abort()
  assert.equal((await followed).out, 'one\n')
})
