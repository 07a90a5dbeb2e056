import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { connect } from './client.ts'
import { ListImagesResponseSchema, VersionResponseSchema } from './gen/runtime_pb.js'
import { frame } from './grpc-frames.ts'

const base = mkdtempSync(path.join(tmpdir(), 'cri-client-'))
after(() => rmSync(base, { recursive: true }))

type Answer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void

/** A gRPC-speaking server of which each test writes the bytes itself. */
async function serve(answer: Answer) {
  const socketPath = path.join(mkdtempSync(path.join(base, 'x')), 's.sock')
  const server = http2.createServer()
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session).size)
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => {})
    stream.resume()
    stream.on('end', () => answer(stream, headers))
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return {
    socketPath,
    sessions,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function ok(stream: http2.ServerHttp2Stream, ...chunks: Uint8Array[]) {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
}

const version = toBinary(VersionResponseSchema, create(VersionResponseSchema, { runtimeName: 'fake' }))

test('a unary call names the service, its deadline, and returns the message', async () => {
  await using server = await serve((stream, headers) => {
    assert.equal(headers[':path'], '/runtime.v1alpha2.RuntimeService/Version')
    assert.equal(headers['grpc-timeout'], '5000m')
    ok(stream, frame(version))
  })
  await using client = connect(`unix://${server.socketPath}`, { apiVersion: 'v1alpha2', timeoutMs: 5000 })
  assert.equal((await client.runtime.version({})).runtimeName, 'fake')
})

test('a server stream yields every message, however the bytes are cut', async () => {
  await using server = await serve((stream) => {
    const bytes = Buffer.concat([frame(version), frame(new Uint8Array()), frame(version)])
    ok(stream, ...[...bytes].map((_, i) => bytes.subarray(i, i + 1)))
  })
  await using client = connect(server.socketPath)
  const seen = []
  for await (const reply of client.image.streamImages({})) seen.push(reply)
  assert.equal(seen.length, 3)
})

test('leaving a stream early resets it', async () => {
  const reset = Promise.withResolvers<number>()
  await using server = await serve((stream) => {
    stream.respond({ ':status': 200 })
    stream.write(frame(new Uint8Array()))
    stream.on('close', () => reset.resolve(stream.rstCode))
  })
  await using client = connect(server.socketPath)
  for await (const _ of client.runtime.getContainerEvents({})) break
  assert.equal(await reset.promise, http2.constants.NGHTTP2_CANCEL)
})

test('the status of the server becomes a coded error with the decoded message', async () => {
  await using server = await serve((stream) =>
    stream.respond(
      { ':status': 200, 'grpc-status': '5', 'grpc-message': 'container %22x%22 100%25 caf%C3%A9 %zz' },
      { endStream: true },
    ),
  )
  await using client = connect(server.socketPath)
  await assert.rejects(client.runtime.version({}), { code: 'not_found', message: 'container "x" 100% café %zz' })
})

test('a missing socket, a file and a socket nobody listens on are unavailable and named', async () => {
  const dir = mkdtempSync(path.join(base, 'x'))
  const file = path.join(dir, 'file')
  writeFileSync(file, '')
  const stale = path.join(dir, 'stale')
  const server = net.createServer().listen(stale)
  await new Promise((resolve) => server.once('listening', resolve))
  const { renameSync } = await import('node:fs')
  renameSync(stale, `${stale}2`)
  await new Promise((resolve) => server.close(resolve))
  for (const socketPath of [path.join(dir, 'none'), file, `${stale}2`]) {
    await using client = connect(socketPath)
    await assert.rejects(client.runtime.version({}), (err: Error & { code: string }) => {
      assert.equal(err.code, 'unavailable')
      assert.ok(err.message.startsWith(`no CRI server at ${socketPath}: `), err.message)
      return true
    })
  }
})

test('deadline and abort end the call at once and reset the stream', async () => {
  const codes: number[] = []
  await using server = await serve((stream) => stream.on('close', () => codes.push(stream.rstCode)))
  await using client = connect(server.socketPath)
  await assert.rejects(client.runtime.version({}, { timeoutMs: 30 }), { code: 'deadline_exceeded' })
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 30)
  await assert.rejects(client.runtime.version({}, { signal: controller.signal }), { code: 'canceled' })
  await assert.rejects(client.runtime.version({}, { signal: AbortSignal.abort() }), { code: 'canceled' })
  await assert.rejects(
    async () => {
      for await (const _ of client.runtime.getContainerEvents({}, { signal: AbortSignal.timeout(30) }));
    },
    { code: 'deadline_exceeded' },
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual(codes, [8, 8, 8])
})

test('a lost connection fails the call in flight, the next call dials anew', async () => {
  let calls = 0
  await using server = await serve((stream) => (calls++ === 0 ? stream.session?.destroy() : ok(stream, frame(version))))
  await using client = connect(server.socketPath)
  await assert.rejects(client.runtime.version({}), { code: 'unavailable' })
  assert.equal((await client.runtime.version({})).runtimeName, 'fake')
})

test('replies of 70 MiB pass, announced ones above 80 MiB do not', async () => {
  const large = toBinary(ListImagesResponseSchema, create(ListImagesResponseSchema, { images: [{ id: 'x'.repeat(70 << 20) }] }))
  let limit = false
  await using server = await serve((stream) => {
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(81 << 20, 1)
    ok(stream, limit ? prefix : frame(large))
  })
  await using client = connect(server.socketPath)
  assert.equal((await client.image.listImages({})).images[0]?.id.length, 70 << 20)
  limit = true
  await assert.rejects(client.image.listImages({}), { code: 'resource_exhausted' })
})

test('close() ends calls in flight', async () => {
  await using server = await serve(() => {})
  const client = connect(server.socketPath)
  const call = assert.rejects(client.runtime.version({}))
  await new Promise((resolve) => setTimeout(resolve, 30))
  await client.close()
  await call
  await assert.rejects(client.runtime.version({}), { code: 'canceled' })
})
