// Archives by the hazard that each answers: what they must become, and which must be refused.
import { endOfArchive, gnuLong, paxHeader, paxRecord, type RawEntry, rawEntry, rawHeader } from '@coracle/testkit/tar-builder'

export type Parts = readonly (RawEntry | Buffer)[]
export type Tree = Readonly<Record<string, string>>

export const file = (name: string | Buffer, body = 'x', more: Partial<RawEntry> = {}): RawEntry => ({ name, body, ...more })
export const dir = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, type: '5', mode: 0o755, ...more })
export const symlink = (name: string, link: string): RawEntry => ({ name, type: '2', link, mode: 0o777 })
export const hardlink = (name: string, link: string): RawEntry => ({ name, type: '1', link })
const opaque = 'd755 trusted.overlay.opaque=y'
// Found by overlayfs's own eye for names that are gone, where no lower layer has the directory.
const hiding = 'd755 trusted.overlay.origin='
const whiteout = 'c0:0'
const deep = (n: number): string => Array.from({ length: n }, () => 'd').join('/')

export const accepted: readonly (readonly [string, Parts, Tree])[] = [
  [
    'T-01 strips leading slashes',
    [file('/etc/abs'), file('////etc/b'), file('//../etc/c')],
    { etc: 'd755', 'etc/abs': 'f644 x', 'etc/b': 'f644 x', 'etc/c': 'f644 x' },
  ],
  ['T-02 cleans a path that stays inside', [file('a/../b')], { b: 'f644 x' }],
  ['T-05 keeps a PAX path of digits a name', [paxHeader({ path: '12345' }), file('other')], { 12345: 'f644 x' }],
  [
    'T-06 keeps bytes',
    [file(Buffer.from([0x61, 0xff])), file('\u00e9'), file('e\u0301'), file('A'), file('a')],
    { 'a\xff': 'f644 x', '\xc3\xa9': 'f644 x', 'e\xcc\x81': 'f644 x', A: 'f644 x', a: 'f644 x' },
  ],
  ['T-07 takes a component of 255 bytes', [paxHeader({ path: 'n'.repeat(255) }), file('x')], { ['n'.repeat(255)]: 'f644 x' }],
  [
    'T-08 keeps odd characters',
    [file('a\\b'), file('C:\\x'), file('a\nb'), file('a\x1bb'), file('a:b,c')],
    { 'a\\b': 'f644 x', 'C:\\x': 'f644 x', 'a\nb': 'f644 x', 'a\x1bb': 'f644 x', 'a:b,c': 'f644 x' },
  ],
  ['T-09 makes parents that lack', [file('a/b/c')], { a: 'd755', 'a/b': 'd755', 'a/b/c': 'f644 x' }],
  [
    'T-10 lets the type decide, and a slash where there is none',
    [file('f/', 'x'), { name: 'd/', type: 0, mode: 0o755 }, dir('e')],
    { f: 'f644 x', d: 'd755', e: 'd755' },
  ],
  [
    'T-11 follows a link inside the root',
    [symlink('l', '/canary'), file('l/x')],
    { l: 'l /canary', canary: 'd755', 'canary/x': 'f644 x' },
  ],
  [
    'T-12 follows chains inside the root, keeps them verbatim',
    [symlink('l', '../../../../canary'), symlink('m', 'l/'), file('m/x'), symlink('dangling', '/no/where')],
    { l: 'l ../../../../canary', m: 'l l/', canary: 'd755', 'canary/x': 'f644 x', dangling: 'l /no/where' },
  ],
  [
    'T-15 links the symlink itself and follows nothing',
    [symlink('s', '/etc/passwd'), hardlink('h', 's'), { ...hardlink('h', 's'), mode: 0o4777, uid: 5 }],
    { s: 'l /etc/passwd', h: 'l /etc/passwd' },
  ],
  [
    'T-16 does not write through a hard link',
    [file('a', 'old'), hardlink('b', 'a'), file('b', 'new')],
    { a: 'f644 old', b: 'f644 new' },
  ],
  [
    'T-18 lets the last win',
    [
      file('a'),
      dir('a'),
      dir('b'),
      file('b/c'),
      file('b', 'f'),
      symlink('c', '/tmp'),
      dir('c'),
      dir('d'),
      file('d/e'),
      symlink('d', 'x'),
      dir('m', { mode: 0o700 }),
      file('m/k'),
      dir('m', { mode: 0o711 }),
    ],
    { a: 'd755', b: 'f644 f', c: 'd755', d: 'l x', m: 'd711', 'm/k': 'f644 x' },
  ],
  [
    'T-18 forgets what was below a directory that became something else',
    [
      ...[dir('a/b', { mtime: 1 }), file('a', 'f'), dir('c/d', { mtime: 1 }), symlink('c', 'e')],
      ...[dir('e/d', { mtime: 5 }), dir('g/h', { mtime: 1 }), symlink('g', 'g')],
    ],
    { a: 'f644 f', c: 'l e', e: 'd755', 'e/d': 'd755', g: 'l g' },
  ],
  [
    'T-19 replaces a link by the directory',
    [symlink('foo', '/'), dir('foo'), file('foo/tmp/x')],
    { foo: 'd755', 'foo/tmp': 'd755', 'foo/tmp/x': 'f644 x' },
  ],
  [
    'T-24 applies modes that would be in the way',
    [dir('a', { mode: 0 }), file('a/b'), dir('a', { mode: 0 })],
    { a: 'd0', 'a/b': 'f644 x' },
  ],
  [
    'T-32 takes long names',
    [gnuLong('L', `${'a'.repeat(150)}/${'b'.repeat(150)}`), file('short'), gnuLong('K', 't'.repeat(300)), symlink('l', 'x')],
    { ['a'.repeat(150)]: 'd755', [`${'a'.repeat(150)}/${'b'.repeat(150)}`]: 'f644 x', l: `l ${'t'.repeat(300)}` },
  ],
  ['T-36 ignores global headers', [paxHeader({ path: 'evil', uid: '7' }, 'g'), file('a')], { a: 'f644 x' }],
  [
    'T-37 takes large ids',
    [paxHeader({ uid: '2147483647', gid: '4294967294' }), file('a')],
    { a: 'f644 2147483647:4294967294 x' },
  ],
  ['T-03 takes . and / for the root', [dir('.'), dir('/', { mode: 0o777 }), dir('./'), file('a')], { a: 'f644 x' }],
  [
    'T-13 follows forty links and no more',
    [...Array.from({ length: 39 }, (_, i) => symlink(`l${i}`, i === 38 ? 'd' : `l${i + 1}`)), dir('d'), file('l0/x')],
    {
      ...Object.fromEntries(Array.from({ length: 39 }, (_, i) => [`l${i}`, `l ${i === 38 ? 'd' : `l${i + 1}`}`])),
      ...{ d: 'd755', 'd/x': 'f644 x' },
    },
  ],
  [
    'T-32 takes the last of two long names, also without its NUL',
    [gnuLong('L', 'first'), rawEntry({ name: 'L', type: 'L', body: 'second' }), file('short')],
    { second: 'f644 x' },
  ],
  ['T-43 makes a fifo', [{ name: 'p', type: '6', mode: 0o640 }], { p: 'p640' }],
  [
    'T-42 makes devices',
    [
      { name: 'sda', type: '4', major: 8, minor: 0, mode: 0o660 },
      { name: 'mem', type: '3', major: 1, minor: 1 },
    ],
    { sda: 'b8:0', mem: 'c1:1' },
  ],
  [
    'T-45 sets bits after the owner',
    [file('s', 'x', { mode: 0o6755, uid: 5, gid: 6 }), dir('t', { mode: 0o1777, uid: 7 }), dir('g', { mode: 0o2755, gid: 8 })],
    { s: 'f6755 5:6 x', t: 'd1777 7:0', g: 'd2755 0:8' },
  ],
  [
    'T-45 a setgid directory hands its group on to nothing',
    [
      ...[dir('d', { mode: 0o2775, gid: 50 }), file('d/f'), symlink('d/l', 'f'), dir('d/s'), file('d/implied/f')],
      ...[{ name: 'd/p', type: '6', mode: 0o644 }, dir('e', { mode: 0o2755, gid: 8 }), dir('e', { mode: 0o755, gid: 8 })],
    ],
    {
      ...{ d: 'd2775 0:50', 'd/f': 'f644 x', 'd/l': 'l f', 'd/s': 'd755', 'd/implied': 'd755', 'd/implied/f': 'f644 x' },
      ...{ 'd/p': 'p644', e: 'd755 0:8' },
    },
  ],
  [
    'T-47 leaves out what is not for images',
    [
      paxHeader({ 'SCHILY.xattr.security.selinux': 'x', 'SCHILY.xattr.trusted.foo': 'y', 'SCHILY.xattr.user.ok': 'z' }),
      file('a'),
    ],
    { a: 'f644 x user.ok=z' },
  ],
  [
    'T-48 goes on where user attributes are impossible',
    [paxHeader({ 'SCHILY.xattr.user.a': 'z' }), symlink('l', 'x')],
    { l: 'l x' },
  ],
  ['T-50 ignores flags', [paxHeader({ 'SCHILY.fflags': 'immutable' }), file('a')], { a: 'f644 x' }],
  [
    'W-02 turns whiteouts into overlay ones',
    [file('.wh.gone', ''), file('d/.wh.also', '')],
    { gone: whiteout, d: hiding, 'd/also': whiteout },
  ],
  [
    'W-04 keeps a whiteout through a link inside',
    [symlink('l', '/canary'), file('l/.wh.x', '')],
    { l: 'l /canary', canary: hiding, 'canary/x': whiteout },
  ],
  ['W-05 cleans the path of a whiteout', [file('dne/../.wh.etc', '')], { etc: whiteout }],
  [
    'W-06 hides only lower layers',
    [dir('a'), file('a/x'), file('a/.wh..wh..opq', ''), dir('b'), file('b/.wh..wh..opq', ''), file('b/y')],
    { a: opaque, 'a/x': 'f644 x', b: opaque, 'b/y': 'f644 x' },
  ],
  ['W-07 makes a missing directory opaque', [file('n/m/.wh..wh..opq', '')], { n: 'd755', 'n/m': opaque }],
  [
    'W-08 lets this layer stay',
    [
      file('a'),
      file('.wh.a', ''),
      file('.wh.b', ''),
      file('b'),
      dir('c'),
      file('.wh.c', ''),
      file('.wh.d', ''),
      dir('d'),
      file('.wh.e', ''),
      file('e/x'),
    ],
    { a: 'f644 x', b: 'f644 x', c: opaque, d: opaque, e: opaque, 'e/x': 'f644 x' },
  ],
  [
    'W-10 strips overlay attributes',
    [
      paxHeader({
        'SCHILY.xattr.trusted.overlay.opaque': 'y',
        'SCHILY.xattr.trusted.overlay.redirect': '/../..',
        'SCHILY.xattr.trusted.overlay.metacopy': '',
        'SCHILY.xattr.user.overlay.opaque': 'y',
      }),
      dir('a'),
    ],
    { a: 'd755' },
  ],
  ['W-11 ignores AUFS leftovers', [dir('.wh..wh.plnk'), file('.wh..wh.aufs', ''), file('.wh..wh.orph/x'.slice(0, 12), '')], {}],
  [
    'W-12 takes whiteouts by name and skips their content',
    [file('.wh.a', 'content of a whiteout'), { name: '.wh.b', type: '5' }, { name: '.wh.c', type: '2', link: '/x' }, file('z')],
    { a: whiteout, b: whiteout, c: whiteout, z: 'f644 x' },
  ],
]

export const refused: readonly (readonly [string, Parts])[] = [
  ['T-02 ../x', [file('../x')]],
  ['T-02 a/../../x', [file('a/../../x')]],
  ['T-02 ..', [dir('..')]],
  ['T-03 empty name', [file('')]],
  ['T-03 . that is a file', [file('.')]],
  ['T-03 / that is a link', [symlink('/', '/tmp')]],
  ['T-04 NUL in a PAX path', [paxHeader({ path: 'a\0b' }), file('x')]],
  ['T-07 component of 256 bytes', [paxHeader({ path: 'n'.repeat(256) }), file('x')]],
  ['T-07 path of 4097 bytes', [paxHeader({ path: `${'d/'.repeat(2048)}f` }), file('x')]],
  ['T-07 10000 nested directories', [paxHeader({ path: deep(10_000) }), dir('x')]],
  ['T-32 a long name and another PAX path', [gnuLong('L', 'a'), paxHeader({ path: 'b' }), file('x')]],
  ['T-32 a long link and another PAX linkpath', [paxHeader({ linkpath: 'b' }), gnuLong('K', 'a'), symlink('l', 'x')]],
  ['T-18 through the link that is replaced', [symlink('a', '/'), file('a/a')]],
  ['T-18 through the link that is replaced by a directory', [symlink('a', '.'), dir('a/a')]],
  ['T-13 loop of links', [symlink('a', 'b'), symlink('b', 'a'), file('a/x')]],
  ['T-14 hard link to what is not there', [hardlink('h', '/canary/secret')]],
  ['T-14 hard link out of the root', [hardlink('h', '../../secret')]],
  ['T-14 hard link through a link', [symlink('l', '/'), hardlink('h', 'l/etc/passwd')]],
  ['T-17 hard link to itself', [file('a'), hardlink('a', 'a')]],
  ['T-17 hard link to a later entry', [hardlink('a', 'b'), file('b')]],
  ['T-17 hard link to a directory', [dir('d'), hardlink('a', 'd')]],
  ['T-17 hard link to a whiteout', [file('.wh.w', ''), hardlink('a', 'w')]],
  ['T-20 parent is a file', [file('a'), file('a/b')]],
  ...['V', 'M', 'N', 'D', 'Z', 's'].map((type): readonly [string, Parts] => [`T-30 type ${type}`, [{ name: 'a', type }]]),
  [
    'T-13 chain of sixty links',
    [...Array.from({ length: 60 }, (_, i) => symlink(`l${i}`, i === 59 ? 'd' : `l${i + 1}`)), dir('d'), file('l0/x')],
  ],
  ['T-44 a socket, which tar has no type for', [{ name: 'a', type: 's' }]],
  ['T-30 type 0xff', [{ name: 'a', type: 0xff }]],
  ['T-31 GNU sparse', [{ name: 'a', type: 'S' }]],
  ['T-31 PAX sparse', [paxHeader({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' }), file('a')]],
  ['T-32 long name of 8 GiB', [rawHeader({ name: 'L', type: 'L', size: 8 * 1024 ** 3 - 1 })]],
  ['T-32 long name without an entry', [gnuLong('L', 'a'), endOfArchive]],
  ['T-33 PAX header of 2 MiB', [rawEntry({ name: 'x', type: 'x', body: Buffer.alloc(2 * 1024 ** 2) })]],
  ...(
    [
      '0 a=b\n',
      '7 a=b\n',
      '5 a=b\n',
      '-6 a=b\n',
      '06 a=b\n',
      '5 ab\n',
      '6 a=bc',
      'x a=b\n',
      '9999999999 a=b\n',
      '6 =ab\n',
    ] as const
  ).map((body): readonly [string, Parts] => [
    `T-33 record ${JSON.stringify(body)}`,
    [rawEntry({ name: 'x', type: 'x', body }), file('a')],
  ]),
  [
    'T-33 10^5 records',
    [
      rawEntry({ name: 'x', type: 'x', body: Buffer.concat(Array.from({ length: 100_000 }, () => paxRecord('a', ''))) }),
      file('a'),
    ],
  ],
  ...['-1', '1.5', '9223372036854775808', '1e3', ''].map((size): readonly [string, Parts] => [
    `T-34 PAX size ${size}`,
    [paxHeader({ size }), file('a')],
  ]),
  ['T-35 negative size', [file('a', 'x', { patch: { 124: Buffer.alloc(12, 0xff) } })]],
  ['T-35 size of 2^63', [file('a', 'x', { patch: { 124: Buffer.from('800000008000000000000000', 'hex') } })]],
  ['T-35 digit 8', [file('a', 'x', { patch: { 124: '00000000008' } })]],
  ['T-37 uid 2^32-1', [paxHeader({ uid: '4294967295' }), file('a')]],
  ['T-37 uid 2^32', [paxHeader({ uid: '4294967296' }), file('a')]],
  ['T-37 negative gid', [paxHeader({ gid: '-1' }), file('a')]],
  ['T-37 fractional uid', [paxHeader({ uid: '1.5' }), file('a')]],
  ['T-38 mtime that is no number', [paxHeader({ mtime: 'NaN' }), file('a')]],
  ['T-39 wrong checksum', [file('a', 'x', { patch: { 148: '000001\0 ' } })]],
  ['T-46 capability of a wrong length', [paxHeader({ 'SCHILY.xattr.security.capability': 'xx' }), file('a')]],
  ['T-49 attribute of 64 KiB and 1', [paxHeader({ 'SCHILY.xattr.user.a': Buffer.alloc(65_537) }), file('a')]],
  ['T-46 capability on a link', [paxHeader({ 'SCHILY.xattr.security.capability': 'xx' }), symlink('l', 'x')]],
  [
    'T-49 ten thousand attributes',
    [paxHeader(Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`SCHILY.xattr.user.a${i}`, '']))), file('a')],
  ],
  [
    'T-49 attributes that do not fit',
    [
      paxHeader(Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`SCHILY.xattr.user.a${i}`, 'v'.repeat(100)]))),
      file('a'),
    ],
  ],
  ['W-01 bare whiteout', [file('.wh.', '')]],
  ['W-01 whiteout of .', [file('etc/.wh..', '')]],
  ['W-01 whiteout of ..', [file('etc/.wh...', '')]],
  ['W-03 whiteout as a directory', [file('.wh.etc/x')]],
  ['W-09 character device 0:0', [{ name: 'a', type: '3', major: 0, minor: 0 }]],
]
