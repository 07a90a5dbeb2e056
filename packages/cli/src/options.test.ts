import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseArguments } from './options.ts'
import { UsageError } from './usage-error.ts'

const table = {
  all: { kind: 'flag', short: 'a', help: '' },
  quiet: { kind: 'flag', short: 'q', help: '' },
  output: { kind: 'string', short: 'o', choices: ['json', 'yaml'], help: '' },
  label: { kind: 'list', short: 'l', help: '' },
  last: { kind: 'number', short: 'n', help: '' },
  timeout: { kind: 'duration', help: '' },
  memory: { kind: 'size', short: 'm', help: '' },
} as const

test('every way to write an option', () => {
  const { options, operands } = parseArguments(table, [
    '-aq',
    '-ojson',
    '--label',
    'a=b',
    '--label=c=d',
    '-n',
    '3',
    'x',
    '--timeout',
    '1m30s',
    '-m=64m',
    'y',
  ])
  assert.deepEqual(options, {
    all: true,
    quiet: true,
    output: 'json',
    label: ['a=b', 'c=d'],
    last: 3,
    timeout: 90_000,
    memory: 64 << 20,
  })
  assert.deepEqual(operands, ['x', 'y'])
})

test('a choice is meant in whatever case it is written', () => {
  assert.equal(parseArguments(table, ['-o', 'JSON']).options.output, 'json')
  assert.throws(() => parseArguments(table, ['-o', 'js']), /option -o is "js"; expected one of json, yaml/)
})

test('nothing given: flags false, lists empty, the rest undefined', () => {
  const { options } = parseArguments(table, [])
  assert.deepEqual(options, {
    all: false,
    quiet: false,
    output: undefined,
    label: [],
    last: undefined,
    timeout: undefined,
    memory: undefined,
  })
})

test('a cluster may end in an option with a value, attached or not', () => {
  assert.deepEqual(parseArguments(table, ['-aqn5']).options.last, 5)
  assert.deepEqual(parseArguments(table, ['-aqn', '5']).options.last, 5)
})

test('-- ends the options; a lone dash is an operand; a flag may be given a truth value', () => {
  assert.deepEqual(parseArguments(table, ['-', '--', '-a']).operands, ['-', '-a'])
  assert.equal(parseArguments(table, ['--all=false']).options.all, false)
})

test('with stopAtOperand the rest belongs to the command', () => {
  const { options, operands } = parseArguments(table, ['-a', 'image', 'sh', '-c', 'x', '--', '-q'], { stopAtOperand: true })
  assert.deepEqual(operands, ['image', 'sh', '-c', 'x', '--', '-q'])
  assert.deepEqual([options.all, options.quiet], [true, false])
})

for (const [args, pattern] of [
  [['--nope'], /unknown option --nope/],
  [['--lab'], /did you mean --label/],
  [['-z'], /unknown option -z/],
  [['-az'], /unknown option -z in -az/],
  [['--output'], /--output needs a value/],
  [['-o', 'xml'], /-o is "xml"; expected one of json, yaml/],
  [['--last', 'many'], /--last is "many"; expected a number/],
  [['--last', ''], /expected a number/],
  [['--timeout', 'soon'], /expected a duration/],
  [['--memory', '-1x'], /expected a size/],
  [['--all=maybe'], /is a flag/],
  [['--constructor'], /unknown option/],
] as const)
  test(`${args.join(' ')} is refused with its name`, () => {
    assert.throws(
      () => parseArguments(table, args),
      (err) => err instanceof UsageError && pattern.test(err.message),
    )
  })
