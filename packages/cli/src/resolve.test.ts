import assert from 'node:assert/strict'
import { test } from 'node:test'
import { choose } from './resolve.ts'

const words = { noun: 'container', list: 'coracle ps -a' }
const thing = (id: string, name: string, live = false) => ({ id, name, label: `${name} of pod p`, live, item: id })
const things = [
  thing('abc111', 'web', true),
  thing('abc222', 'web'),
  thing('def333', 'db'),
  thing('def444', 'db'),
  thing('0db555', 'abc'),
]

test('an exact id wins, then a name, then the start of an id', () => {
  assert.equal(choose(things, 'abc222', words), 'abc222')
  assert.equal(choose(things, 'abc', words), '0db555')
  assert.equal(choose(things, '0d', words), '0db555')
})

test('of several with one name the only living one is meant', () => {
  assert.equal(choose(things, 'web', words), 'abc111')
})

test('ambiguity names the candidates', () => {
  assert.throws(() => choose(things, 'db', words), {
    code: 'invalid_argument',
    message: /means 2 containers: def333 \(db of pod p\), def444/,
  })
  assert.throws(() => choose(things, 'abc1x', words), { code: 'not_found', message: /coracle ps -a/ })
  assert.throws(() => choose(things, '', words), { code: 'not_found' })
})
