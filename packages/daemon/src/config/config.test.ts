import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compareSettings } from '../reload.ts'
import { toConfig } from './config.ts'
import { keys } from './keys.ts'
import { loadSettings, type Sources } from './load.ts'
import { lineOf } from './locate.ts'
import { defaultFileText, printSettings } from './print.ts'

interface Case {
  readonly file?: string
  readonly dropIns?: Readonly<Record<string, string>>
  readonly flags?: Readonly<Record<string, readonly string[]>>
  readonly environment?: Readonly<Record<string, string>>
}

function load({ file, dropIns = {}, flags = {}, environment = {} }: Case) {
  const directory = mkdtempSync(join(tmpdir(), 'coracle-config-'))
  try {
    const path = join(directory, 'coracle.toml')
    if (file !== undefined) writeFileSync(path, file)
    mkdirSync(join(directory, 'coracle.d'))
    for (const [name, text] of Object.entries(dropIns)) writeFileSync(join(directory, 'coracle.d', name), text)
    const sources: Sources = { file: path, fileRequired: false, flags: new Map(Object.entries(flags)), environment }
    return loadSettings(sources)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const all = () => true

test('loadSettings() layers file, drop-ins, environment and flags', () => {
  const settings = load({
    file: 'root = "/a"\nstate = "/a"\nname = "a"\n[log]\nlevel = "warn"',
    dropIns: { '20.toml': 'state = "/c"', '10.toml': 'state = "/b"\nname = "b"', 'x.bak': 'nonsense' },
    environment: { CORACLE_NAME: 'e', CORACLE_LOG_LEVEL: 'error' },
    flags: { 'log-level': ['debug'], 'cni-plugin-dir': ['/x', '/y'] },
  })
  const value = (path: string) => settings.get(path)?.value
  assert.deepEqual([value('root'), value('state'), value('name'), value('log.level')], ['/a', '/c', 'e', 'debug'])
  assert.deepEqual(value('cni.plugin_dirs'), ['/x', '/y'])
  assert.match(settings.get('state')?.from ?? '', /20\.toml:1$/)
})

for (const [title, file, message] of [
  ['an unknown key', 'root = "/a"\n\n[log]\nlevle = "info"', /coracle\.toml:4: unknown key log\.levle/],
  ['a key in the wrong table', 'level = "info"', /coracle\.toml:1: unknown key level: did you mean log\.level\?/],
  [
    'a wrong type',
    '[cni]\nadd_timeout_s = "60"',
    /coracle\.toml:2: cni\.add_timeout_s "60" has the wrong type: expected an integer/,
  ],
  ['a bad value', '[log]\n# x\nlevel = "loud"', /coracle\.toml:3: log\.level "loud": expected one of error, warn, info, debug/],
  ['a relative path', 'root = "var"', /coracle\.toml:1: root "var": expected an absolute path/],
  ['a number out of range', '[cni]\ndel_timeout_s = 0', /expected 1 to 3600/],
  ['bad syntax', 'root = "/a"\nstate = ', /coracle\.toml:2: /],
] as const) {
  test(`loadSettings() refuses ${title} with file, line and key`, () => {
    assert.throws(() => load({ file }), { message })
  })
}

test('loadSettings() names a bad flag or variable', () => {
  assert.throws(() => load({ flags: { state: ['run'] } }), { message: /--state "run": expected an absolute path/ })
  assert.throws(() => load({ environment: { CORACLE_STRICT_FLOORS: 'yes' } }), {
    message: /CORACLE_STRICT_FLOORS "yes" has the wrong type/,
  })
})

test('toConfig() knows installed runtimes, configured ones and registries', () => {
  const settings = load({
    file: '[runtimes.kata]\npath = "/opt/kata"\nallowed_annotations = ["io.kata.*"]\n[registries."reg.example:5000"]\ninsecure = true',
  })
  const config = toConfig(settings, (path) => path === '/usr/bin/crun')
  assert.deepEqual(
    config.runtimes.map(({ handler, path, kind }) => [handler, path, kind]),
    [
      ['crun', '/usr/bin/crun', 'crun'],
      ['kata', '/opt/kata', 'other'],
    ],
  )
  const { insecureHosts, blocked, from, files } = config.images.registries
  assert.deepEqual([insecureHosts, blocked], [['reg.example:5000'], []])
  assert.match(from?.['registries.reg.example:5000.insecure'] ?? '', /coracle\.toml:5$/)
  assert.equal(files?.registriesConf, '/etc/containers/registries.conf')
  assert.equal(config.socket, '/run/coracle/coracle.sock')
})

test('the socket may be named as clients name it: they read the same variable', () => {
  for (const CORACLE_SOCKET of ['unix:///run/x.sock', '/run/x.sock'])
    assert.equal(toConfig(load({ environment: { CORACLE_SOCKET } }), all).socket, '/run/x.sock')
  assert.throws(() => load({ environment: { CORACLE_SOCKET: 'tcp://1.2.3.4' } }), /expected an absolute path/)
})

test('toConfig() refuses a default runtime that nobody configured', () => {
  const settings = load({ flags: { 'default-runtime': ['gvisor'] } })
  assert.throws(() => toConfig(settings, all), {
    message: /--default-runtime: default_runtime "gvisor" is no configured handler/,
  })
})

test('the default file documents every key, changes nothing when uncommented, and is the one shipped', () => {
  const text = defaultFileText()
  for (const { path } of keys) assert.match(text, new RegExp(`^#${path.split('.').at(-1)} = `, 'm'))
  const active = text
    .split('\n')
    .filter((line) => /^#(\[[a-z_]+\]|[a-z_]+ = )/.test(line) && !/ = ""$/.test(line) && !line.includes('NAME'))
    .map((line) => line.slice(1))
    .join('\n')
    .replace(/\[cni\]/, '[cni]')
  const wild = new Set(keys.filter(({ path }) => path.includes('*')).map(({ path }) => path.split('.').at(-1)))
  const lines = active.split('\n').filter((line) => !wild.has(line.split(' ')[0]))
  assert.doesNotThrow(() => load({ file: lines.join('\n') }))
  assert.equal(readFileSync(new URL('../../../../deploy/coracle.toml', import.meta.url), 'utf8'), text)
})

test('printSettings() prints what loads again to the same', () => {
  const settings = load({ file: '[registries."r:5"]\ninsecure = true\n[images]\npinned = ["a", "b*"]' })
  const again = load({ file: printSettings(settings) })
  assert.deepEqual(compareSettings(settings, again), [])
})

test('proxies: our keys before the usual variables; passwords are not shown', () => {
  const environment = { HTTPS_PROXY: 'http://me:geheim@p:3128', no_proxy: 'a.io,10.0.0.0/8' }
  const config = toConfig(load({ environment }), all)
  assert.deepEqual(config.images.registries.proxies, { https: 'http://me:geheim@p:3128', except: ['a.io', '10.0.0.0/8'] })
  const settings = load({ environment, file: '[proxy]\nhttps = "http://you:geheim@q"' })
  assert.equal(toConfig(settings, all).images.registries.proxies?.https, 'http://you:geheim@q')
  assert.doesNotMatch(printSettings(settings), /geheim/)
  assert.doesNotMatch(JSON.stringify(compareSettings(load({}), settings)), /geheim/)
  assert.throws(
    () => load({ file: '[proxy]\nhttps = "ftp://me:geheim@q"' }),
    (err) => err instanceof Error && /http:\/\/host:port/.test(err.message) && !err.message.includes('geheim'),
  )
})

test('a client certificate needs its key', () => {
  assert.throws(() => toConfig(load({ file: '[registries."r"]\nclient_certificate = "/c"' }), all), /client_key go together/)
})

test('compareSettings() tells what a reload changes and what needs a restart', () => {
  const before = load({ file: '' })
  const after = load({ file: 'root = "/r"\n[log]\nlevel = "debug"\n[runtimes.k]\npath = "/k"' })
  assert.deepEqual(
    compareSettings(before, after).map(({ path, needsRestart }) => [path, needsRestart]),
    [
      ['log.level', false],
      ['root', true],
      ['runtimes.k.path', false],
    ],
  )
})

test('lineOf() finds tables, dotted and quoted keys', () => {
  const text = 'a = 1\n[b]\nc = 2\n[d."x.y"]\ne = 3\nf.g = 4'
  assert.deepEqual([lineOf(text, ['b', 'c']), lineOf(text, ['d', 'x.y', 'e']), lineOf(text, ['d', 'x.y', 'f', 'g'])], [3, 5, 6])
})
