// The client against a real CRI server: the one named by CORACLE_TEST_SOCKET.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../src/mod.ts'

const socketPath = process.env['CORACLE_TEST_SOCKET']
const skip = socketPath ? false : 'CORACLE_TEST_SOCKET names no CRI socket'

for (const apiVersion of ['v1', 'v1alpha2'] as const) {
  test(`version, lists and a missing container over ${apiVersion}`, { skip }, async () => {
    await using client = connect(String(socketPath), { apiVersion, timeoutMs: 10_000 })
    assert.equal((await client.runtime.version({})).runtimeApiVersion, apiVersion)
    await client.runtime.listContainers({})
    await client.image.listImages({})
    await assert.rejects(client.runtime.containerStatus({ containerId: 'absent' }), { code: 'not_found' })
  })
}
