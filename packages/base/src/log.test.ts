import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { CodedError, failed } from './errors.ts'
import { configureLog, logger, logLevel, withRequestId } from './log.ts'

let lines: string[] = []
beforeEach(() => {
  lines = []
  configureLog({ level: 'info', format: 'json', write: (line) => lines.push(line) })
})
const log = logger('test')
const parsed = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>)

test('one JSON line an event, with the request it belongs to', async () => {
  await withRequestId('r7', async () => {
    await null
    log.info('hello', { n: 1n, text: 'a\nb' })
  })
  log.debug('not shown')
  const [line] = parsed()
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.split('\n').length, 2)
  const { time, ...rest } = line ?? {}
  assert.match(String(time), /^\d{4}-/)
  assert.deepEqual(rest, { level: 'info', room: 'test', message: 'hello', request: 'r7', n: '1', text: 'a\nb' })
})

test('an error is logged with its causes, which hold the reason', () => {
  log.error('undo failed', { error: failed('stop pod', new CodedError('unavailable', 'plugin hangs')) })
  assert.equal(parsed()[0]?.['error'], 'stop pod: plugin hangs')
})

test('levels can change while it runs', () => {
  configureLog({ level: 'debug' })
  assert.equal(logLevel(), 'debug')
  log.debug('shown')
  configureLog({ level: 'error' })
  log.warn('not shown')
  assert.equal(lines.length, 1)
})

test('for people: values of strangers cannot steer the terminal', () => {
  configureLog({ format: 'pretty' })
  log.warn('call', { plain: 'abc', evil: '\x1b[2Jx', absent: undefined })
  assert.ok(!lines[0]?.includes('\x1b[2J'))
  assert.ok(lines[0]?.includes('abc'))
  assert.ok(!lines[0]?.includes('absent'))
})
