import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { container } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { defaultPath, environment } from './environment.ts'

const env = (options: { image?: string[]; cri?: [string, string | Uint8Array][]; terminal?: boolean; hostname?: string } = {}) =>
  environment({
    image: options.image ?? [],
    envs: container({
      envs: (options.cri ?? []).map(([key, value]) => ({ key, value: typeof value === 'string' ? Buffer.from(value) : value })),
    }).envs,
    hostname: options.hostname ?? 'web',
    terminal: options.terminal ?? false,
    home: '/root',
  })

describe('M-16 environment', () => {
  test('H-48: PATH, HOSTNAME and HOME by default, TERM with a terminal', () => {
    assert.deepEqual(env().env, [`PATH=${defaultPath}`, 'HOSTNAME=web', 'HOME=/root'])
    assert.ok(env({ terminal: true }).env.includes('TERM=xterm'))
    assert.deepEqual(env({ hostname: '' }).env, [`PATH=${defaultPath}`, 'HOME=/root'])
  })
  test('the image overrides defaults, CRI overrides the image, each name stays once', () => {
    const made = env({
      image: ['PATH=/a', 'A=1', 'HOME=/h', 'A=2'],
      cri: [
        ['A', '3'],
        ['HOSTNAME', 'x'],
        ['B', 'x=y'],
      ],
    })
    assert.deepEqual(made.env, ['PATH=/a', 'HOSTNAME=x', 'A=3', 'HOME=/h', 'B=x=y'])
  })
  test('CVE-2026-57231: image entries that are not NAME=value are dropped', () => {
    const made = env({ image: ['PATH', '*', '=x', 'A', 'HOME*', 'CANARY', 'A=1', ''] })
    assert.deepEqual(made.env, [`PATH=${defaultPath}`, 'HOSTNAME=web', 'A=1', 'HOME=/root'])
    assert.equal(made.warnings.length, 7)
  })
  test('CVE-2021-21334: nothing is shared between two containers of one image', () => {
    const image = Object.freeze(['A=1']) as string[]
    assert.ok(env({ image, cri: [['SECRET', 's1']] }).env.includes('SECRET=s1'))
    assert.ok(!env({ image }).env.some((entry) => entry.startsWith('SECRET')))
  })
  for (const home of ['/x\nroot2::0:0::/:/bin/sh', '/x\rroot', '/x:0'])
    test(`CVE-2022-4318: HOME ${JSON.stringify(home)} is refused`, () => {
      throws(() => env({ cri: [['HOME', home]] }), 'invalid_argument', 'HOME')
      throws(() => env({ image: [`HOME=${home}`] }), 'invalid_argument', 'HOME')
    })
  test('CVE-2022-4318: backslash and n are text', () => {
    assert.ok(env({ cri: [['HOME', '/x\\nroot2']] }).env.includes('HOME=/x\\nroot2'))
  })
  test('NUL and bad names are refused', () => {
    throws(() => env({ cri: [['A', 'a\0b']] }), 'invalid_argument', 'config.envs[0].value')
    throws(() => env({ image: ['A=a\0b'] }), 'invalid_argument', 'image environment')
    for (const key of ['', 'A=B', 'A\0']) throws(() => env({ cri: [[key, 'x']] }), 'invalid_argument', 'config.envs[0].key')
  })
  test('bytes that are not UTF-8 are replaced and told of', () => {
    const made = env({
      cri: [
        ['A', Uint8Array.of(0x61, 0xff)],
        ['B', 'ü\ufffd'],
      ],
    })
    assert.ok(made.env.includes('A=a\ufffd') && made.env.includes('B=ü\ufffd'))
    assert.equal(made.warnings.length, 1)
  })
  test('line ends in other values are text', () => {
    assert.ok(env({ cri: [['A', 'a\nb']] }).env.includes('A=a\nb'))
  })
  test('names of Object.prototype are names', () => {
    assert.ok(
      env({
        cri: [
          ['__proto__', 'x'],
          ['constructor', 'y'],
        ],
      }).env.includes('__proto__=x'),
    )
  })
})
