import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serveMetrics } from './endpoint.ts'
import { renderExposition } from './exposition.ts'
import type { OwnMetrics } from './own-metrics.ts'

test('renderExposition() escapes what labels hold', () => {
  const text = renderExposition([
    { name: 'a_total', help: 'A.', type: 'counter', samples: [{ labels: { x: 'q"u\\o\nte' }, value: 2 }, { value: 0.5 }] },
  ])
  assert.equal(text, '# HELP a_total A.\n# TYPE a_total counter\na_total{x="q\\"u\\\\o\\nte"} 2\na_total 0.5\n')
})

test('serveMetrics() serves one path on the loopback address, and says when it cannot', async () => {
  let disposed = 0
  const metrics: OwnMetrics = {
    families: async () => [{ name: 'a', help: 'A.', type: 'gauge', samples: [{ value: 1 }] }],
    [Symbol.dispose]: () => {
      disposed++
    },
  }
  {
    await using server = await serveMetrics(0, metrics)
    const reply = await fetch(`http://127.0.0.1:${server.port}/metrics`)
    assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    assert.match(await reply.text(), /^a 1$/m)
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/`)).status, 404)
    await assert.rejects(serveMetrics(server.port, metrics), /metrics\.port/)
  }
  assert.equal(disposed, 2)
})
