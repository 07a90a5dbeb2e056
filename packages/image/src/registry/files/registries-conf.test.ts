import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { findRegistry, parseRegistriesConf, rewritten } from './registries-conf.ts'

const parse = (...texts: string[]) => parseRegistriesConf(texts.map((text, i) => ({ file: `/etc/${i}.conf`, text })))

describe('registries.conf', () => {
  test('all keys, each with its line', () => {
    const conf = parse(`
unqualified-search-registries = ["a.io", "b.io"]
short-name-mode = "enforcing"
credential-helpers = ["containers-auth.json", "pass"]

[[registry]]
prefix = "a.io/ns"
location = "c.io/other"
insecure = true
blocked = false
[[registry.mirror]]
location = "m1.io"
[[registry.mirror]]
location = "m2.io/cache"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
location = "d.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m3.io"

[aliases]
"busybox" = "a.io/lib/busybox"
`)
    assert.deepEqual(conf.search, { value: ['a.io', 'b.io'], from: '/etc/0.conf:2' })
    assert.equal(conf.shortNameMode?.value, 'enforcing')
    assert.deepEqual(conf.helpers?.value, ['containers-auth.json', 'pass'])
    assert.deepEqual(conf.aliases.get('busybox'), { value: 'a.io/lib/busybox', from: '/etc/0.conf:25' })
    const [first, second] = conf.registries
    assert.deepEqual(first, {
      prefix: 'a.io/ns',
      location: 'c.io/other',
      insecure: true,
      blocked: false,
      from: '/etc/0.conf:6',
      mirrors: [
        { location: 'm1.io', insecure: false, use: 'all', from: '/etc/0.conf:11' },
        { location: 'm2.io/cache', insecure: true, use: 'digest-only', from: '/etc/0.conf:13' },
      ],
    })
    assert.deepEqual([second?.prefix, second?.location, second?.mirrors[0]?.use], ['d.io', undefined, 'digest-only'])
    assert.deepEqual(conf.warnings, [])
  })

  test('drop-ins replace lists and registries of the same prefix, add aliases, take them away', () => {
    const conf = parse(
      'unqualified-search-registries = ["a.io"]\n[[registry]]\nprefix = "x.io"\nblocked = true\n[[registry]]\nprefix = "y.io"\nlocation = "z.io"\n[aliases]\na = "r.io/a"\nb = "r.io/b"',
      '[[registry]]\nlocation = "x.io"\n[aliases]\na = ""\nc = "r.io/c"',
      'unqualified-search-registries = []',
    )
    assert.deepEqual(conf.search?.value, [])
    assert.deepEqual(
      conf.registries.map(({ prefix, blocked, from }) => [prefix, blocked, from]),
      [
        ['y.io', false, '/etc/0.conf:5'],
        ['x.io', false, '/etc/1.conf:1'],
      ],
    )
    assert.deepEqual([...conf.aliases.keys()], ['b', 'c'])
  })

  test('the longest prefix counts, at the borders of parts; a wildcard is for subdomains', () => {
    const conf = parse(
      ['a.io', 'a.io/ns', 'a.io/ns/app:1', '*.b.io', '*.x.b.io', 'c.io:5000']
        .map((prefix) => `[[registry]]\nprefix = "${prefix}"\nlocation = "m.io"\n`)
        .join(''),
    )
    const prefixOf = (name: string) => findRegistry(conf, name)?.entry.prefix
    assert.equal(prefixOf('a.io/x'), 'a.io')
    assert.equal(prefixOf('a.io/ns/x'), 'a.io/ns')
    assert.equal(prefixOf('a.io/nsx/x'), 'a.io')
    assert.equal(prefixOf('a.io.evil/x'), undefined)
    assert.equal(prefixOf('b.io/x'), undefined)
    assert.equal(prefixOf('s.b.io/x'), '*.b.io')
    assert.equal(prefixOf('s.x.b.io/x'), '*.x.b.io')
    assert.equal(prefixOf('q.io/s.b.io/x'), undefined)
    assert.equal(prefixOf('c.io:5000/x'), 'c.io:5000')
    assert.equal(prefixOf('c.io/x'), undefined)
  })

  test('rewriting', () => {
    assert.equal(rewritten('a.io/ns/app', 'a.io/ns'.length, 'c.io/x'), 'c.io/x/app')
    assert.equal(rewritten('s.b.io/app', 's.b.io'.length, undefined), 's.b.io/app')
  })

  for (const [text, message] of [
    ['unqualified-search-registries = 1', /0\.conf:1: unqualified-search-registries has the wrong type/],
    [
      '\n[[registry]]\nlocation = "a"\ninsecure = "yes"',
      /0\.conf:4: registry\.insecure has the wrong type: expected true or false/,
    ],
    ['[[registry]]\nblocked = true', /0\.conf:1: registry\.location is missing/],
    ['[[registry]]\nlocation = "https://a"', /0\.conf:2: registry\.location is "https:\/\/a": expected host/],
    ['[[registry]]\nprefix = "a.*.io"', /0\.conf:2: .*subdomain/],
    ['[[registry]]\nlocation = "a"\n\n[[registry.mirror]]\ninsecure = true', /0\.conf:4: registry\.mirror\.location is missing/],
    [
      '[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "no"',
      /0\.conf:5: .*expected one of all/,
    ],
    [
      '[[registry]]\nlocation = "a"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "all"',
      /0\.conf:6: .*does not go together/,
    ],
    ['short-name-mode = "maybe"', /0\.conf:1: short-name-mode is "maybe": expected one of enforcing/],
    ['[aliases]\nx = "noregistry"', /0\.conf:2: aliases\.x/],
    ['[aliases]\nx = "r.io/x:1"', /0\.conf:2: aliases\.x .*without tag/],
    ['[aliases]\nx = "team/app"', /0\.conf:2: aliases\.x .*registry\/repository/],
    [
      'unqualified-search-registries = ["a.io", "cache"]',
      /0\.conf:1: unqualified-search-registries has "cache": expected hosts with a dot/,
    ],
    ['unqualified-search-registries = ["a.io/library"]', /0\.conf:1: unqualified-search-registries has "a\.io\/library"/],
    ['[registries.search]\nregistries = ["a"]', /0\.conf:1: registries is version 1/],
    ['a = \n', /0\.conf:1: /],
  ] as const)
    test(`refused: ${JSON.stringify(text).slice(0, 50)}`, () => assert.throws(() => parse(text), message))

  test('unknown keys are told, not refused: other readers have others', () => {
    const { warnings } = parse('additional-layer-store-auth-helper = "x"\n[[registry]]\nlocation = "a"\nfuture = 1')
    assert.equal(warnings.length, 2)
    assert.match(warnings[0] ?? '', /0\.conf:1: additional-layer-store-auth-helper is not known/)
    assert.match(warnings[1] ?? '', /0\.conf:4: registry\.future is not known/)
  })
})
