// What a signature policy lets in: images signed here as cosign does it, with keys of every kind, and those that only look like it.
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startNode, type TestNode } from '@coracle/testkit/node'
import { type Attached, attach, payloadFor, signatureBy } from './cosign.ts'
import { MovingWorld } from './moving-world.ts'

interface Keys {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

const pemOf = ({ publicKey }: Keys): string => publicKey.export({ type: 'spki', format: 'pem' }).toString()
const signed = (keys: Keys, payload: Buffer): Attached => ({ payload, signature: signatureBy(keys.privateKey, payload) })

describe('signature policy', needsRoot(), () => {
  let world: MovingWorld
  let node: TestNode
  const trusted = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  before(async () => {
    world = await MovingWorld.open()
    writeFileSync(world.path('trusted.pub'), pemOf(trusted))
    writeFileSync(world.path('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
    mkdirSync(world.path('namespaces'))
    const keys = { signature_policy: world.path('policy.json'), signature_policy_dir: world.path('namespaces') }
    node = await startNode({
      config: `[images]\n${Object.entries(keys)
        .map(([key, path]) => `${key} = "${path}"`)
        .join('\n')}\n`,
    })
    world.socket = node.world.socket
  })
  after(async () => {
    await node[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
  })

  const reload = async (path: string, policy: unknown, told = /signature policy reloaded/g) => {
    const count = () => [...node.log().matchAll(told)].length
    const before = count()
    writeFileSync(world.path(path), typeof policy === 'string' ? policy : JSON.stringify(policy))
    process.kill(node.pid(), 'SIGHUP')
    await eventually('the policy is read again', async () => count() > before, { timeoutMs: 30_000 })
  }
  const requiring = (entry: object, scope = world.host) => ({
    default: [{ type: 'insecureAcceptAnything' }],
    transports: { docker: { [scope]: [{ type: 'sigstoreSigned', keyPath: world.path('trusted.pub'), ...entry }] } },
  })
  const anyTag = { signedIdentity: { type: 'matchRepository' } }
  let serial = 0
  /** A repository of its own with an image, whose signatures are what `make` gives. */
  const image = async (make: (reference: string, digest: string) => readonly Attached[], from = world.images.bare) => {
    const repository = `signed/image-${++serial}`
    const reference = `${world.host}/${repository}:1`
    const digest = await world.coracle('copy', '-q', '--all', `docker://${from}`, `docker://${reference}`)
    const signatures = make(reference, digest)
    if (signatures.length > 0) await attach(world.host, repository, digest, signatures)
    return reference
  }
  const refused = async (reference: string, why: RegExp) => {
    const told = await world.fails('pull', '-q', reference)
    assert.match(told, /^coracle: SignatureValidationFailed: /)
    assert.match(told, why)
    await assert.rejects(world.coracle('inspecti', reference))
  }
  const pulled = (reference: string) => world.coracle('pull', '-q', reference)

  it('lets in what a trusted key signed: P-256, Ed25519, RSA; an index by its own digest', async () => {
    const others = [
      generateKeyPairSync('ed25519'),
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    ]
    for (const keys of [trusted, ...others]) {
      const keyData = Buffer.from(pemOf(keys)).toString('base64')
      await reload('policy.json', requiring({ keyPath: undefined, keyData }))
      await pulled(await image((reference, digest) => [signed(keys, payloadFor(reference, digest))]))
    }
    await reload('policy.json', requiring({}))
    await pulled(await image((reference, digest) => [signed(trusted, payloadFor(reference, digest))], world.images.index))
  })

  it('H-69 refuses an image without a signature before any layer of it is here', async () => {
    await reload('policy.json', requiring(anyTag))
    const layers = () => readdirSync(join(node.world.root, 'images/layers')).length
    const before = layers()
    await refused(await image(() => [], world.images.big), /a signature is required and sha256:\w+ has none/)
    assert.equal(layers(), before)
  })

  it('refuses a stranger’s key, another digest, another name, a broken payload, a replayed signature', async () => {
    await reload('policy.json', requiring({}))
    await refused(await image((name, digest) => [signed(stranger, payloadFor(name, digest))]), /not made by a trusted key/)
    const other = `sha256:${'0'.repeat(64)}`
    await refused(await image((name) => [signed(trusted, payloadFor(name, other))]), /it is of the image "sha256:0000/)
    await refused(
      await image((name, digest) => [signed(trusted, payloadFor(name.replace(/1$/, '2'), digest))]),
      /which does not match/,
    )
    await refused(
      await image((_name, digest) => [signed(trusted, payloadFor('evil.example/x:1', digest))]),
      /which does not match/,
    )
    const broken = (name: string, digest: string) => Buffer.from(`${payloadFor(name, digest)}x`)
    await refused(await image((name, digest) => [signed(trusted, broken(name, digest))]), /payload is refused/)
    const altered = (name: string, digest: string): Attached => ({
      payload: payloadFor(name, digest),
      signature: signatureBy(trusted.privateKey, payloadFor(name, other)),
    })
    await refused(await image((name, digest) => [altered(name, digest)]), /not made by a trusted key/)
    // A good signature of one image beside another one.
    let replayed: Attached | undefined
    await pulled(
      await image((name, digest) => {
        replayed = signed(trusted, payloadFor(name, digest))
        return [replayed]
      }),
    )
    await refused(await image(() => (replayed ? [replayed] : []), world.images.entry), /it is of the image|does not match/)
  })

  it('takes the one good signature among others; too many or too large ones are no way in', async () => {
    await reload('policy.json', requiring({}))
    const bad = (name: string, digest: string, i: number) => signed(stranger, payloadFor(`${name}${i}`, digest))
    const among = await image((name, digest) => [
      bad(name, digest, 1),
      signed(trusted, payloadFor(name, digest)),
      bad(name, digest, 2),
    ])
    await pulled(among)
    const many = await image((name, digest) => [
      ...Array.from({ length: 80 }, (_, i) => bad(name, digest, i)),
      signed(trusted, payloadFor(name, digest)),
    ])
    await assert.rejects(pulled(many), /81 signatures, more than 64/)
    const huge = (name: string, digest: string) =>
      Buffer.concat([payloadFor(name, digest).subarray(0, -1), Buffer.from(`,"x":"${'y'.repeat(300_000)}"}`)])
    await refused(await image((name, digest) => [signed(trusted, huge(name, digest))]), /a signature is required/)
  })

  it('the most specific scope counts; all requirements of a list do', async () => {
    const plain = await image(() => [])
    const repository = plain.replace(/:1$/, '')
    await reload('policy.json', {
      ...requiring({}),
      transports: { docker: { [world.host]: [{ type: 'reject' }], [repository]: [{ type: 'insecureAcceptAnything' }] } },
    })
    await pulled(plain)
    await refused(await image(() => []), /images of this scope are rejected/)
    const both = [{ type: 'sigstoreSigned', keyPath: world.path('trusted.pub') }, { type: 'reject' }]
    await reload('policy.json', { default: [{ type: 'reject' }], transports: { docker: { [world.host]: both } } })
    await refused(await image((name, digest) => [signed(trusted, payloadFor(name, digest))]), /rejected/)
    await reload('policy.json', { default: [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/x' }] })
    await refused(await image(() => []), /GPG signature, which is not supported/)
    await reload('policy.json', requiring({ rekorPublicKeyPath: '/x' }))
    await refused(await image(() => []), /rekorPublicKeyPath is not supported/)
  })

  it('an image that is here already is asked for anew; other pulls go on', async () => {
    await reload('policy.json', requiring(anyTag))
    const reference = await image((name, digest) => [signed(trusted, payloadFor(name, digest))])
    const id = await pulled(reference)
    const unsigned = await image(() => [])
    const told = await world.fails('pull', '-q', unsigned)
    assert.match(told, /SignatureValidationFailed/)
    assert.equal(await pulled(reference), id)
  })

  it('a namespace has its own policy', async () => {
    await reload('policy.json', { default: [{ type: 'insecureAcceptAnything' }] })
    await reload('namespaces/strict.json', { default: [{ type: 'reject' }] })
    const reference = await image(() => [])
    const pullFor = (namespace: string) =>
      node.client.image.pullImage({
        image: { image: reference },
        sandboxConfig: { metadata: { name: 'p', namespace, uid: 'u', attempt: 0 } },
      })
    await assert.rejects(pullFor('strict'), /SignatureValidationFailed/)
    await pullFor('other')
    await reload('namespaces/strict.json', { default: [{ type: 'insecureAcceptAnything' }] })
  })

  it('archives are judged by their transport', async () => {
    await world.coracle('copy', '-q', `docker://${world.images.docker}`, `docker-archive:${world.path('a.tar')}:x/y:1`)
    await reload('policy.json', {
      default: [{ type: 'reject' }],
      transports: { 'oci-archive': { '': [{ type: 'insecureAcceptAnything' }] } },
    })
    assert.match(
      await world.fails('load', '-i', world.path('a.tar')),
      /SignatureValidationFailed: .*refuses images from docker-archive/,
    )
    await world.coracle('copy', '-q', `docker://${world.images.docker}`, `oci-archive:${world.path('b.tar')}:x`)
    await world.coracle('load', '-i', world.path('b.tar'))
    await reload('policy.json', { default: [{ type: 'sigstoreSigned', keyPath: world.path('trusted.pub') }] })
    assert.match(await world.fails('load', '-i', world.path('b.tar')), /asks for signatures of images from oci-archive/)
  })

  it('a policy that cannot be read whole changes nothing at a reload, and refuses a start', async () => {
    await reload('policy.json', { default: [{ type: 'reject' }] })
    await reload('policy.json', '{"default": [{"type": "insecureAcceptAnyThing"}]}', /signature policy not reloaded/g)
    await refused(await image(() => []), /rejected/)
    await node.stop()
    await assert.rejects(node.restart())
    assert.match(node.log(), /signature policy .*policy\.json: default\[0\]\.type "insecureAcceptAnyThing" must be/)
    writeFileSync(world.path('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
    await node.restart()
  })
})
