// Pushing to a registry that asks for tokens, breaks off, forgets and refuses.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { parseDigest } from '@coracle/oci-spec/digest'
import { parseReference } from '@coracle/oci-spec/reference'
import { verified } from './copy.ts'
import { openRegistryDestination } from './registry-writing.ts'

interface Fake extends AsyncDisposable {
  readonly host: string
  readonly requests: string[]
  readonly blobs: Map<string, Buffer>
}

type Fault = (request: IncomingMessage, answer: ServerResponse, body: Buffer) => boolean

/** Takes uploads as the distribution specification has them; `fault` may answer first. `token`: asks for one. */
async function fakeRegistry(options: { fault?: Fault; token?: boolean } = {}): Promise<Fake> {
  const requests: string[] = []
  const blobs = new Map<string, Buffer>()
  let uploaded = Buffer.alloc(0)
  const server = createServer(async (request, answer) => {
    const body = Buffer.concat(await Array.fromAsync(request))
    requests.push(`${request.method} ${request.url} ${body.length}`)
    const url = new URL(request.url ?? '', 'http://x')
    if (url.pathname === '/token') {
      const ok = request.headers.authorization === `Basic ${Buffer.from('me:secret').toString('base64')}`
      const scope = url.searchParams.get('scope')
      answer.writeHead(ok ? 200 : 401).end(JSON.stringify({ token: `token-for-${scope}` }))
      return
    }
    if (options.fault?.(request, answer, body)) {
      // What came before the break stays, as it does in a registry.
      if (request.method === 'PATCH') uploaded = Buffer.concat([uploaded, body.subarray(0, body.length >> 1)])
      return
    }
    const scope = `repository:team/app:${request.method === 'HEAD' ? 'pull' : 'pull,push'}`
    if (
      options.token &&
      request.headers.authorization !== `Bearer token-for-${scope}` &&
      !request.headers.authorization?.includes('push')
    ) {
      const realm = `http://${request.headers.host}/token`
      answer.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s",scope="${scope}"` }).end()
      return
    }
    if (request.method === 'HEAD') return void answer.writeHead(blobs.has(url.pathname.split('/').at(-1) ?? '') ? 200 : 404).end()
    if (request.method === 'POST') {
      uploaded = Buffer.alloc(0)
      return void answer.writeHead(202, { location: '/v2/team/app/blobs/uploads/u?state=1' }).end()
    }
    if (request.method === 'GET')
      return void answer
        .writeHead(204, { location: '/v2/team/app/blobs/uploads/u?state=2', range: `0-${uploaded.length - 1}` })
        .end()
    if (request.method === 'PATCH') {
      const start = Number(/^(\d+)-/.exec(String(request.headers['content-range']))?.[1])
      if (start !== uploaded.length) return void answer.writeHead(416).end()
      uploaded = Buffer.concat([uploaded, body])
      return void answer
        .writeHead(202, { location: '/v2/team/app/blobs/uploads/u?state=3', range: `0-${uploaded.length - 1}` })
        .end()
    }
    const digest = url.searchParams.get('digest')
    if (digest !== null) {
      const whole = Buffer.concat([uploaded, body])
      const isRight = `sha256:${createHash('sha256').update(whole).digest('hex')}` === digest
      if (isRight) blobs.set(digest, whole)
      return void answer.writeHead(isRight ? 201 : 400).end()
    }
    answer.writeHead(201, { 'docker-content-digest': `sha256:${createHash('sha256').update(body).digest('hex')}` }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    blobs,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const blobOf = (size: number) => {
  const bytes = randomBytes(size)
  const digest = parseDigest('digest', `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
  const content = async function* () {
    for (let at = 0; at < size; at += 1_000_000) yield bytes.subarray(at, at + 1_000_000)
  }
  return { bytes, descriptor: { mediaType: 'application/octet-stream', digest, size }, content }
}
const signal = () => AbortSignal.timeout(60_000)
const mib = 1024 * 1024

describe('pushing a blob', () => {
  it('a small one in one request, a large one in chunks, none twice', async () => {
    await using fake = await fakeRegistry()
    await using to = await openRegistryDestination(parseReference(`${fake.host}/team/app:1`), {})
    for (const { descriptor, content, bytes } of [blobOf(1000), blobOf(0), blobOf(20 * mib), blobOf(16 * mib)]) {
      assert.equal(await to.has(descriptor, undefined, signal()), false)
      await to.writeBlob(descriptor, verified(descriptor, content()), signal())
      assert.ok(fake.blobs.get(descriptor.digest)?.equals(bytes))
      assert.equal(await to.has(descriptor, undefined, signal()), true)
    }
    assert.equal(fake.requests.filter((line) => line.startsWith('PATCH')).length, 5)
  })

  it('goes on where the registry stands after connections that break', async () => {
    let faults = 0
    const fault: Fault = (request) => {
      if (request.method !== 'PATCH' || faults >= 3) return false
      faults++
      request.socket.destroy()
      return true
    }
    await using fake = await fakeRegistry({ fault })
    await using to = await openRegistryDestination(parseReference(`${fake.host}/team/app:1`), {})
    const { descriptor, content, bytes } = blobOf(20 * mib)
    await to.writeBlob(descriptor, verified(descriptor, content()), signal())
    assert.ok(fake.blobs.get(descriptor.digest)?.equals(bytes))
    assert.equal(faults, 3)
    const sent = fake.requests
      .filter((line) => line.startsWith('PATCH'))
      .reduce((sum, line) => sum + Number(line.split(' ')[2]), 0)
    assert.ok(sent < 40 * mib, `${sent} bytes were sent for ${20 * mib}`)
  })

  it('answers challenges for pull and for push, with the credentials it was given and no others', async () => {
    await using fake = await fakeRegistry({ token: true })
    const reference = parseReference(`${fake.host}/team/app:1`)
    await using to = await openRegistryDestination(reference, { credentials: { username: 'me', password: 'secret' } })
    const { descriptor, content } = blobOf(100)
    assert.equal(await to.has(descriptor, undefined, signal()), false)
    await to.writeBlob(descriptor, verified(descriptor, content()), signal())
    assert.ok(fake.blobs.has(descriptor.digest))
    await using wrong = await openRegistryDestination(reference, { credentials: { username: 'me', password: 'wrong-password' } })
    await assert.rejects(wrong.writeBlob(descriptor, verified(descriptor, content()), signal()), (err) => {
      assert.doesNotMatch(String(err), /wrong-password/)
      return codeOf(err) === 'unauthenticated'
    })
  })

  it('commits nothing when the content is not what its digest says, and names the refusal of a registry', async () => {
    await using fake = await fakeRegistry()
    await using to = await openRegistryDestination(parseReference(`${fake.host}/team/app:1`), {})
    const { descriptor } = blobOf(20 * mib)
    const { content } = blobOf(20 * mib)
    await assert.rejects(
      to.writeBlob(descriptor, verified(descriptor, content()), signal()),
      (err) => codeOf(err) === 'data_loss',
    )
    assert.equal(fake.blobs.size, 0)
    assert.ok(!fake.requests.some((line) => line.startsWith('PUT')))
    const fault: Fault = (request, answer) => {
      if (request.method !== 'POST') return false
      answer.writeHead(403).end(JSON.stringify({ errors: [{ code: 'DENIED', message: 'quota' }] }))
      return true
    }
    await using strict = await fakeRegistry({ fault })
    await using refused = await openRegistryDestination(parseReference(`${strict.host}/team/app:1`), {})
    const small = blobOf(10)
    await assert.rejects(refused.writeBlob(small.descriptor, small.content(), signal()), /answers 403: DENIED quota$/)
  })
})
