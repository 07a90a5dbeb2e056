import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { delay } from '@coracle/base/signals'
import { Intake } from './intake.ts'

const signal = AbortSignal.timeout(20_000)
const content = Buffer.allocUnsafe(8 * 1024 * 1024)
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at)

test('no more is read than somebody takes; what was taken stays as it is until the next', async () => {
  const server = createServer((peer) => void peer.on('error', () => {}).end(content))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const intake = new Intake()
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', onread: intake.onread })
  try {
    let told = Promise.withResolvers<void>()
    // Late, so that something waits already.
    await delay(100, signal)
    intake.attach(socket, () => told.resolve())
    await delay(200, signal)
    const readBytes = socket.bytesRead
    assert.ok(readBytes >= 256 * 1024 && readBytes <= 1024 * 1024, String(readBytes))
    const buffers = new Set<ArrayBufferLike>()
    for (let at = 0; at < content.length; ) {
      const bytes = intake.take()
      if (bytes === undefined) {
        await told.promise
        told = Promise.withResolvers<void>()
        continue
      }
      buffers.add(bytes.buffer)
      // More arrives meanwhile.
      if (at % 7 === 0) await delay(1, signal)
      assert.ok(bytes.equals(content.subarray(at, at + bytes.length)), `bytes at ${at}`)
      at += bytes.length
    }
    assert.equal(intake.take(), undefined)
    assert.ok(buffers.size <= 5, `${buffers.size} buffers`)
  } finally {
    socket.destroy()
    server.close()
  }
})
