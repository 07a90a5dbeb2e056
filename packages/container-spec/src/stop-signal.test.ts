import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, test } from 'node:test'
import { Signal } from '@coracle/cri-api'
import { container } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { parseSignal, resolveStopSignal, stopSignalEnum, stopSignalWarning } from './stop-signal.ts'

const ofEnum = (stopSignal: number, image = '') => resolveStopSignal(container({ stopSignal: stopSignal as Signal }), image)

describe('M-20 resolveStopSignal', () => {
  test('all 66 values of CRI’s enum mean what their names say', () => {
    const names = Object.entries(Signal).filter((entry): entry is [string, Signal] => typeof entry[1] === 'number')
    assert.equal(names.length, 66)
    for (const [name, value] of names) {
      if (value === 0) continue
      const real = /^SIGRT(MIN|MAX)(?:(PLUS|MINUS)(\d+))?$/.exec(name.replace('SIGNAL_', ''))
      const own = name.replace('SIGNAL_', '')
      const alias: Record<string, string> = { SIGCLD: 'SIGCHLD' }
      const expected = real
        ? (real[1] === 'MIN' ? 34 : 64) + (real[2] === 'MINUS' ? -1 : 1) * Number(real[3] ?? 0)
        : (constants.signals as Record<string, number>)[alias[own] ?? own]
      assert.equal(ofEnum(value), expected, name)
    }
  })
  test('CRI’s wins over the image’s, which wins over SIGTERM', () => {
    assert.equal(ofEnum(10, 'SIGQUIT'), 2)
    assert.equal(ofEnum(0, 'SIGQUIT'), 3)
    assert.equal(ofEnum(0), 15)
  })
  const table: readonly (readonly [string, number | undefined])[] = [
    ['15', 15],
    ['TERM', 15],
    ['SIGTERM', 15],
    ['sigterm', 15],
    ['SIGRTMIN+3', 37],
    ['RTMIN+3', 37],
    ['SIGRTMIN', 34],
    ['SIGRTMAX-2', 62],
    ['rtmax', 64],
    ['64', 64],
    ['0', undefined],
    ['65', undefined],
    ['999', undefined],
    ['-9', undefined],
    ['SIGRTMIN+31', undefined],
    ['SIGRTMIN-1', undefined],
    ['SIGRTMAX+1', undefined],
    ['SIGTERM+1', undefined],
    ['SIGFOO', undefined],
    ['SIG', undefined],
    ['', undefined],
    [' TERM', undefined],
    ['__PROTO__', undefined],
  ]
  for (const [text, expected] of table)
    test(`image ${JSON.stringify(text)}`, () => {
      assert.equal(parseSignal(text), expected)
      assert.equal(ofEnum(0, text), expected ?? 15)
      assert.equal(stopSignalWarning(text) === undefined, expected !== undefined || text === '')
    })
  test('an unknown enum value is refused', () => {
    throws(() => ofEnum(66), 'invalid_argument', 'config.stop_signal 66')
  })
  test('stopSignalEnum() is its way back', () => {
    for (let number = 1; number <= 64; number++) {
      const value = stopSignalEnum(number)
      if (value !== 0) assert.equal(ofEnum(value), number)
      else assert.ok(number === 32 || number === 33)
    }
  })
})
