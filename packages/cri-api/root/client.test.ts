// The client against a server that is not ours: Debian's containerd.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startContainerdNode } from '@coracle/testkit/containerd-node'
import type { TestNode } from '@coracle/testkit/node'
import { type Registry, startRegistry } from '@coracle/testkit/registry'
import { connect } from '../src/mod.ts'

let registry: Registry
let node: TestNode

before(async () => {
  registry = await startRegistry()
  node = await startContainerdNode(registry)
})

after(async () => {
  await node[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

for (const apiVersion of ['v1', 'v1alpha2'] as const) {
  test(`version, lists and a missing container over ${apiVersion}`, async () => {
    await using client = connect(node.world.socket, { apiVersion, timeoutMs: 10_000 })
    assert.equal((await client.runtime.version({})).runtimeApiVersion, apiVersion)
    await client.runtime.listContainers({})
    await client.image.listImages({})
    await assert.rejects(client.runtime.containerStatus({ containerId: 'absent' }), { code: 'not_found' })
  })
}
