import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { configureLog } from '@coracle/base/log'
import { testCertificates } from '@coracle/testkit/test-certificates'
import { connectExec } from './client/mod.ts'
import { createStreaming } from './streaming.ts'
import { createTestTarget } from './test-target.ts'
import { readCertificate, watchCertificate } from './tls.ts'

const [first, second] = testCertificates
const selection = { tty: false, stdin: false, stdout: true, stderr: false }

function certificateFiles() {
  const directory = mkdtempSync(join(tmpdir(), 'coracle-tls-'))
  const certificateFile = join(directory, 'tls.crt')
  const keyFile = join(directory, 'tls.key')
  const write = ({ certificate, key }: { certificate: string; key: string }) => {
    writeFileSync(certificateFile, certificate)
    writeFileSync(keyFile, key)
  }
  write(first)
  return { certificateFile, keyFile, write, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) }
}

for (const transport of ['spdy', 'websocket'] as const) {
  test(`exec over ${transport} and tls`, async () => {
    using files = certificateFiles()
    await using streaming = await createStreaming({ address: '0.0.0.0', tls: files }, createTestTarget())
    const url = streaming.execUrl({ containerId: 'c', command: ['exit', '4'], ...selection })
    assert.match(url, /^https:\/\/127\.0\.0\.1:/)
    const signal = AbortSignal.timeout(5_000)
    await assert.rejects(connectExec(url, { transport, selection, signal, ca: second.certificate }), { code: 'unavailable' })
    const connection = await connectExec(url, { transport, selection, signal, ca: first.certificate })
    assert.deepEqual(await connection.ended, { exitCode: 4 })
  })
}

test('the certificate is reloaded when its files change, a bad one is not taken', async () => {
  configureLog({ level: 'error', write: () => undefined })
  using files = certificateFiles()
  const stop = new AbortController()
  const server = createServer(readCertificate(files))
  watchCertificate(files, server, { signal: stop.signal, everyMs: 5 })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.on('error', reject)
    })
  assert.equal(await served(), 'coracle-test-1')
  files.write({ certificate: 'nonsense', key: 'nonsense' })
  await new Promise((done) => setTimeout(done, 30))
  assert.equal(await served(), 'coracle-test-1')
  files.write(second)
  while ((await served()) !== 'coracle-test-2') await new Promise((done) => setTimeout(done, 5))
  stop.abort()
  await new Promise((closed) => server.close(closed))
})
