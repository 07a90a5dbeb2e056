// A WebSocket client that is not ours: the platform's own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStreaming } from './streaming.ts'
import { createTestTarget } from './test-target.ts'

const selection = { tty: false, stdin: true, stdout: true, stderr: true }

for (const protocol of ['v4.channel.k8s.io', 'v5.channel.k8s.io']) {
  test(`the platform's client reads exec output and exit code by ${protocol}`, async () => {
    await using streaming = await createStreaming({}, createTestTarget())
    const url = streaming.execUrl({ containerId: 'c', command: ['flood', '3000000'], ...selection })
    const socket = new WebSocket(url.replace('http', 'ws'), [protocol])
    socket.binaryType = 'arraybuffer'
    const bytes = [0, 0, 0, 0]
    let status = ''
    let first: Buffer | undefined
    const { promise: closed, resolve } = Promise.withResolvers<number>()
    socket.onclose = ({ code }) => resolve(code)
    socket.onmessage = ({ data }) => {
      const message = Buffer.from(data as ArrayBuffer) // by binaryType
      first ??= message
      const channel = message.readUInt8(0)
      bytes[channel] = (bytes[channel] ?? 0) + message.length - 1
      if (channel === 3) status = message.toString('utf8', 1)
    }
    assert.equal(await closed, 1000)
    assert.equal(socket.protocol, protocol)
    assert.deepEqual(first, Buffer.from([1]))
    assert.deepEqual(bytes.slice(0, 3), [0, 3_000_000, 0])
    assert.deepEqual(JSON.parse(status).details.causes, [{ reason: 'ExitCode', message: '7' }])
  })
}
