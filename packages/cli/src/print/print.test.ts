import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../usage-error.ts'
import { timestamp, withDates } from './inspect.ts'
import { parseInfo } from './structured.ts'
import { mapLines, renderTable, shortId } from './table.ts'
import { renderTemplate } from './template.ts'

test('columns are as wide as their widest cell; no blanks at line ends', () => {
  assert.equal(
    renderTable(
      ['ID', 'NAME'],
      [
        ['1', 'a'],
        ['234', ''],
      ],
    ),
    'ID    NAME\n1     a\n234\n',
  )
  assert.equal(renderTable(['ID', 'NAME'], []), 'ID   NAME\n')
})

test('short ids have 13 characters and no algorithm', () => {
  assert.equal(shortId(`sha256:${'ab'.repeat(32)}`), 'ababababababa')
})

test('maps are sorted under their heading', () => {
  assert.deepEqual(mapLines('Labels', { b: '2', a: '1' }), ['Labels:', '\ta -> 1', '\tb -> 2'])
  assert.deepEqual(mapLines('Labels', {}), [])
})

test('info values are JSON where they can be', () => {
  assert.deepEqual(parseInfo({ info: '{"pid":1}', a: 'plain', n: '7' }), { a: 'plain', info: { pid: 1 }, n: 7 })
})

test('timestamps keep their nanoseconds; zero is the zero time', () => {
  assert.equal(timestamp(1_893_456_000_120_000_000n), '2030-01-01T00:00:00.12Z')
  assert.equal(timestamp(1_893_456_000_000_000_001n), '2030-01-01T00:00:00.000000001Z')
  assert.equal(timestamp(0n), '0001-01-01T00:00:00Z')
  assert.deepEqual(withDates({ createdAt: '0', x: 1 }, ['createdAt']), { createdAt: '0001-01-01T00:00:00Z', x: 1 })
})

test('templates: paths, json, index, nothing else', () => {
  const value = { status: { id: 'x', n: 5, labels: { 'a.b/c': 'v' }, list: ['p', 'q'] } }
  assert.equal(renderTemplate('{{.status.id}}-{{ .status.n }} {{.status.none}}', value), 'x-5 <no value>')
  assert.equal(renderTemplate('{{json .status.labels}} {{index .status.labels "a.b/c"}}', value), '{"a.b/c":"v"} v')
  assert.equal(renderTemplate('{{.status.list.1}}', value), 'q')
  assert.throws(() => renderTemplate('{{range .x}}{{end}}', value), UsageError)
  assert.throws(() => renderTemplate('', value), UsageError)
})
