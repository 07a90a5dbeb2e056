import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CodedError } from '@coracle/base/errors'
import { digestOf } from './digest.ts'
import { maxConfigBytes, parseImageConfig } from './image-config.ts'

const base = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf('x')] } }
const parse = (document: unknown) =>
  parseImageConfig(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)))
const refuses = (document: unknown, message = /./) =>
  assert.throws(
    () => parse(document),
    (err) => err instanceof CodedError && err.code === 'invalid_argument' && message.test(err.message),
  )

describe('image config', () => {
  test('takes what a container needs, and null for nothing', () => {
    const config = parse({
      ...base,
      created: '9999-01-01T00:00:00Z',
      config: {
        User: 'u',
        Env: ['A=1'],
        Entrypoint: null,
        Cmd: ['sh'],
        WorkingDir: '/w',
        StopSignal: 'SIGINT',
        Volumes: { '/v': {} },
        Labels: { a: 'b' },
      },
    })
    assert.deepEqual(
      { ...config, labels: [...config.labels] },
      {
        platform: { os: 'linux', architecture: 'amd64' },
        created: '9999-01-01T00:00:00Z',
        user: 'u',
        env: ['A=1'],
        entrypoint: [],
        cmd: ['sh'],
        workingDir: '/w',
        stopSignal: 'SIGINT',
        volumes: ['/v'],
        labels: [['a', 'b']],
        diffIds: [digestOf('x')],
      },
    )
    assert.ok(Object.isFrozen(config) && Object.isFrozen(config.env))
  })

  test('M-12 wrong types are named by their path', () => {
    for (const document of ['', 'null', '[]', '1', 'x']) refuses(document)
    refuses({ ...base, config: { Env: 'x' } }, /config\.Env/)
    refuses({ ...base, config: { Env: [1] } }, /config\.Env\[0\]/)
    refuses({ ...base, config: { Cmd: 'sh -c' } }, /config\.Cmd/)
    refuses({ ...base, config: { User: 5 } }, /config\.User/)
    refuses({ ...base, config: { Labels: { a: 1 } } }, /config\.Labels/)
    refuses({ ...base, config: [] }, /config/)
    refuses({ ...base, os: 1 }, /os/)
  })

  test('C-08 the root file system', () => {
    refuses({ ...base, rootfs: undefined }, /rootfs/)
    refuses({ ...base, rootfs: { type: 'x', diff_ids: [] } }, /rootfs\.type/)
    refuses({ ...base, rootfs: { type: 'layers', diff_ids: ['x'] } }, /rootfs\.diff_ids\[0\]/)
    refuses({ ...base, rootfs: { type: 'layers', diff_ids: Array(257).fill(digestOf('x')) } }, /256/)
  })

  test('M-11 too large', () => {
    refuses(`{"a":"${'x'.repeat(maxConfigBytes)}"}`)
    refuses({ ...base, config: { Env: Array(100_001).fill('A=1') } }, /config\.Env/)
  })

  test('M-21 label names of objects are text', () => {
    const config = parse(`{"rootfs":{"type":"layers"},"config":{"Labels":{"__proto__":"p","constructor":"c"}}}`)
    assert.deepEqual(
      [...config.labels],
      [
        ['__proto__', 'p'],
        ['constructor', 'c'],
      ],
    )
    assert.equal(config.platform.os, 'linux')
  })

  test('M-22 what is for other tools is ignored, whatever it is', () => {
    const others = { OnBuild: 5, Healthcheck: 'x', Shell: {}, ArgsEscaped: 'yes', Cmd: ['a'] }
    assert.deepEqual(parse(JSON.stringify({ ...base, config: others })).cmd, ['a'])
  })

  test('M-23 times of creation out of all range are text', () => {
    for (const created of ['0000-01-01T00:00:00Z', '9999999-01-01T00:00:00Z', 'never'])
      assert.equal(parse(JSON.stringify({ ...base, created })).created, created)
  })

  test('M-10 keys twice', () => refuses(JSON.stringify(base).replace('{', '{"rootfs":{},')))
})
