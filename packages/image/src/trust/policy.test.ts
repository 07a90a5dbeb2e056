import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { parseReference } from '@coracle/oci-spec/reference'
import { identityMatches, parseIdentity } from './identity.ts'
import { type Policy, parsePolicy } from './policy.ts'
import { requirementsFor, requirementsForTransport, scopesOf } from './scope.ts'
import { policyNote } from './trust.ts'

const pemOf = ({ publicKey }: { publicKey: KeyObject }): Buffer => Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))
const good = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const parse = (value: unknown, read = async () => good) => parsePolicy(Buffer.from(JSON.stringify(value)), read)
const accept = [{ type: 'insecureAcceptAnything' }]
const reject = [{ type: 'reject' }]
const digest = `sha256:${'a'.repeat(64)}`

test('parsePolicy() refuses what it does not know whole', async () => {
  const signed = (fields: object) => ({ default: [{ type: 'sigstoreSigned', ...fields }] })
  const bad: [unknown, RegExp][] = [
    [{}, /default must be a list/],
    [{ default: [] }, /must not be empty/],
    [{ default: accept, other: 1 }, /unknown key "other"/],
    [{ default: [{ type: 'acceptAnything' }] }, /acceptAnything/],
    [{ default: [{ type: 'reject', why: 'x' }] }, /unknown key "why"/],
    [{ default: accept, transports: { docker: { 'a.io/*': accept } } }, /bad scope/],
    [{ default: accept, transports: { docker: { '*.a.io/b': accept } } }, /hosts only/],
    [signed({}), /exactly one of/],
    [signed({ keyPath: '/a', keyData: 'x' }), /exactly one of/],
    [signed({ keyData: Buffer.from('nothing').toString('base64') }), /no public key/],
    [signed({ keyPath: '/a', signedIdentity: { type: 'matchAnything' } }), /matchAnything/],
    [signed({ keyPath: '/a', signedIdentity: { type: 'matchRepository', more: 1 } }), /unknown key "more"/],
    [signed({ keyPath: '/a', signedIdentity: { type: 'exactReference', dockerReference: 'a.io/b' } }), /tag or digest/],
    [signed({ keyPath: '/a', keypath: '/b' }), /unknown key "keypath"/],
  ]
  for (const [value, why] of bad)
    await assert.rejects(
      parse(value),
      (err) => codeOf(err) === 'invalid_argument' && why.test(String(err)),
      JSON.stringify(value),
    )
  await assert.rejects(
    parsePolicy(Buffer.from('{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}'), async () => good),
    /twice/,
  )
  for (const weak of [
    pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 })),
    pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })),
  ])
    await assert.rejects(
      parse(signed({ keyPath: '/k' }), async () => weak),
      /must be an ECDSA key/,
    )
  await assert.doesNotReject(parse(signed({ keyPaths: ['/a', '/b'] })))
})

test('what cannot be checked is kept as something that nothing satisfies', async () => {
  for (const entry of [
    { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/a' },
    { type: 'sigstoreSigned', fulcio: {}, rekorPublicKeyPath: '/r' },
    { type: 'sigstoreSigned', keyPath: '/a', rekorPublicKeyData: 'x' },
  ])
    assert.equal((await parse({ default: [entry] })).default[0]?.kind, 'unsupported')
})

test('scopesOf() goes from the image to the transport', () => {
  assert.deepEqual(scopesOf(parseReference('reg.a.example.com:5000/team/app/web:1')), [
    'reg.a.example.com:5000/team/app/web:1',
    'reg.a.example.com:5000/team/app/web:1',
    'reg.a.example.com:5000/team/app/web',
    'reg.a.example.com:5000/team/app',
    'reg.a.example.com:5000/team',
    'reg.a.example.com:5000',
    '*.a.example.com',
    '*.example.com',
    '*.com',
    '',
  ])
})

test('requirementsFor() takes the most specific scope, then the transport, then the default', async () => {
  const policy: Policy = await parse({
    default: reject,
    transports: {
      docker: {
        'a.io': accept,
        'a.io/team': reject,
        'a.io/team/app:1': accept,
        '*.example.com': accept,
        'x.example.com': reject,
      },
      'docker-archive': { '': accept },
    },
  })
  const kind = (name: string) => requirementsFor(policy, parseReference(name)).requirements[0]?.kind
  const [yes, no] = ['insecureAcceptAnything', 'reject']
  assert.deepEqual(
    [
      'a.io/other',
      'a.io/team/app:2',
      'a.io/team/app:1',
      'a.io/teams/app',
      'y.example.com:5000/a',
      'x.example.com/a',
      'example.com/a',
      'b.io/a',
    ].map(kind),
    [yes, no, yes, yes, yes, no, no, no],
  )
  assert.equal(kind(`a.io/team/app:1@${digest}`), no, 'the tag says nothing of the digest beside it')
  assert.equal(requirementsForTransport(policy, 'docker-archive').requirements[0]?.kind, yes)
  assert.equal(requirementsForTransport(policy, 'oci-archive').requirements[0]?.kind, no)
})

test('no spelling of a host leads around its scope', async () => {
  const policy = await parse({ default: accept, transports: { docker: { 'A.io:443': reject, '*.B.io': reject } } })
  for (const name of ['a.io/x', 'A.IO/x', 'a.io:443/x', 'x.B.io/y', 'X.b.io:443/y'])
    assert.equal(requirementsFor(policy, parseReference(name)).requirements[0]?.kind, 'reject', name)
  assert.equal(requirementsFor(policy, parseReference('a.io:5000/x')).place, 'default')
  await assert.rejects(parse({ default: accept, transports: { docker: { 'a.io': reject, 'A.io:443': accept } } }), /"a.io" twice/)
})

test('policyNote() says what a pull will be asked for', async () => {
  const node = await parse({
    default: accept,
    transports: {
      docker: {
        'no.io': reject,
        'old.io': [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/a' }],
        'signed.io': [{ type: 'sigstoreSigned', keyPath: '/a' }],
      },
    },
  })
  const note = (name: string) => policyNote({ node, byNamespace: new Map() }, parseReference(name))
  assert.equal(note('any.io/x'), undefined)
  assert.equal(note('no.io/x'), 'signature policy, transports.docker["no.io"]: refuses this image')
  assert.match(note('old.io/x') ?? '', /: refuses this image, as signedBy asks for a GPG signature/)
  assert.match(note('signed.io/x') ?? '', /transports\.docker\["signed\.io"\]: asks for a signature, which is not looked at here/)
})

test('identityMatches()', () => {
  const matches = (identity: object | undefined, asked: string, signed: string) =>
    identityMatches(parseIdentity('signedIdentity', identity), parseReference(asked), signed)
  const rows: [object | undefined, string, string, boolean][] = [
    [undefined, 'a.io/b:1', 'a.io/b:1', true],
    [undefined, 'a.io/b:1', 'a.io/b:2', false],
    [undefined, 'a.io/b:latest', 'a.io/b', false],
    [undefined, `a.io/b@${digest}`, 'a.io/b', true],
    [undefined, `a.io/b@${digest}`, 'a.io/b:9', true],
    [undefined, `a.io/b@${digest}`, 'a.io/c', false],
    [undefined, 'a.io/b:1', 'not a reference', false],
    [undefined, 'a.io/b:1', '', false],
    [{ type: 'matchExact' }, `a.io/b@${digest}`, 'a.io/b', false],
    [{ type: 'matchRepository' }, 'a.io/b:1', 'a.io/b', true],
    [{ type: 'matchRepository' }, 'a.io/b:1', 'a.io/bb:1', false],
    [{ type: 'exactReference', dockerReference: 'a.io/b:1' }, 'mirror.io/x:7', 'a.io/b:1', true],
    [{ type: 'exactReference', dockerReference: 'a.io/b:1' }, 'a.io/b:1', 'a.io/b:2', false],
    [{ type: 'exactRepository', dockerRepository: 'a.io/b' }, 'mirror.io/x:7', 'a.io/b', true],
    [{ type: 'exactRepository', dockerRepository: 'a.io/b' }, 'a.io/b:1', 'a.io/c:1', false],
    [{ type: 'remapIdentity', prefix: 'mirror.io', signedPrefix: 'a.io' }, 'mirror.io/b:1', 'a.io/b:1', true],
    [{ type: 'remapIdentity', prefix: 'mirror.io/p', signedPrefix: 'a.io' }, 'mirror.io/pp/b:1', 'a.io/p/b:1', false],
    [{ type: 'remapIdentity', prefix: 'mirror.io/p', signedPrefix: 'a.io/q' }, 'mirror.io/p/b:1', 'a.io/q/b:1', true],
    [{ type: 'remapIdentity', prefix: 'mirror.io', signedPrefix: 'a.io' }, 'a.io/b:1', 'a.io/b:1', true],
  ]
  for (const [identity, asked, signed, expected] of rows)
    assert.equal(matches(identity, asked, signed), expected, JSON.stringify([identity, asked, signed]))
})
