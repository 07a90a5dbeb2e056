import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { explain } from '@coracle/base/errors'
import { abortable, within } from '@coracle/base/signals'
import { stage } from '@coracle/base/stages'
import { eventually } from '@coracle/testkit/eventually'
import { parseExposition } from '@coracle/testkit/exposition'
import { testCertificates } from '@coracle/testkit/test-certificates'
import { catalogue, catalogueTable, type Entry } from './catalogue.ts'
import { serveMetrics } from './endpoint.ts'
import { histogramSamples, renderExposition } from './exposition.ts'
import { createOwnMetrics, type Observed, type OwnMetrics } from './own-metrics.ts'

test('renderExposition() escapes what labels hold', () => {
  const text = renderExposition([
    { name: 'a_total', help: 'A.', type: 'counter', samples: [{ labels: { x: 'q"u\\o\nte' }, value: 2 }, { value: 0.5 }] },
  ])
  assert.equal(text, '# HELP a_total A.\n# TYPE a_total counter\na_total{x="q\\"u\\\\o\\nte"} 2\na_total 0.5\n')
  assert.equal(parseExposition(text).get('a_total')?.samples[0]?.labels['x'], 'q"u\\o\nte')
})

test('the parser of the tests finds what is wrong', () => {
  const head = '# HELP h H.\n# TYPE h histogram\n'
  const good = renderExposition([
    {
      name: 'h',
      help: 'H.',
      type: 'histogram',
      samples: histogramSamples({}, [1, 2], { withinBucket: [1, 1], count: 3, sum: 9 }),
    },
  ])
  assert.equal(parseExposition(good).get('h')?.samples.length, 5)
  for (const bad of [
    'a 1\n',
    '# HELP a A.\n# TYPE a counter\na 1\n',
    '# HELP a A.\n# TYPE a gauge\na 1\na 2\n',
    '# HELP a A.\n# TYPE a gauge\na{x="1} 1\n',
    '# HELP a A.\n# TYPE a gauge\na 1',
    `${head}h_bucket{le="2"} 1\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    `${head}h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`,
  ]) {
    assert.throws(() => parseExposition(bad), Error, bad)
  }
})

const observed: Observed = {
  services: {
    pods: { all: () => [{ state: { kind: 'ready' } }], onChange: () => {} },
    containers: { all: () => [], onChange: () => {} },
    // Only what is asked of them here.
  } as unknown as Observed['services'],
  images: {
    list: () => [],
    imageUsage: async () => ({ mountpoint: '/', usedBytes: 10n, inodesUsed: 1n }),
    containerUsage: async () => ({ mountpoint: '/', usedBytes: 20n, inodesUsed: 2n }),
    workers: () => ({ running: 1, jobs: 2 }),
  },
  processes: { stuck: () => 0 },
  events: { statistics: () => ({ subscribers: 1, events: 2, cutOff: 3 }) },
  calls: {
    counts: () => [{ rpc: 'Version', code: 'OK', count: 4 }],
    times: () => new Map([['Version', { withinBucket: [1, 2, 2, 2, 2, 2, 2, 2, 2], count: 4, sum: 999 }]]),
    inProgress: () => new Map([['PullImage', 1]]),
  },
  pulls: {
    counts: () => [{ host: 'quay.io', outcome: 'not_found', count: 1 }],
    times: () => new Map(),
    fetchedBytes: () => new Map([['quay.io', 5]]),
    layers: () => ({ fetched: 1, reused: 2 }),
  },
  spans: () => ({ exported: 1, dropped: 2, failed: 3 }),
  version: '1.2.3',
  recordsFile: '/nonexistent',
}

test('every metric of the catalogue is told, in a form that scrapers take', async () => {
  using metrics = createOwnMetrics(observed)
  await assert.rejects(stage(['CNI ADD', 'plugin x'], () => Promise.reject(new Error('no'))))
  const blocked = Promise.withResolvers<void>()
  const work = stage(['pull image', ''], () => stage(['registry', 'quay.io'], () => blocked.promise))
  const text = renderExposition(await metrics.families(AbortSignal.timeout(5000)))
  blocked.resolve()
  await work
  const families = parseExposition(text)
  assert.deepEqual([...families.keys()].sort(), Object.keys(catalogue).sort())
  for (const [name, { samples }] of families) {
    const { labels = [] }: Entry = catalogue[name as keyof typeof catalogue]
    for (const sample of samples) {
      const { le: _, ...own } = sample.labels
      assert.deepEqual(Object.keys(own).sort(), [...labels].sort(), name)
    }
  }
  const value = (name: string, labels: object = {}) =>
    families.get(name)?.samples.find((sample) => Object.entries(labels).every(([key, text]) => sample.labels[key] === text))
      ?.value
  assert.equal(value('coracle_stage_failures_total', { stage: 'CNI ADD' }), 1)
  assert.equal(value('coracle_stages_in_progress', { stage: 'registry' }), 1)
  assert.equal(value('coracle_stages_stuck'), undefined)
  assert.equal(value('coracle_image_layers_total', { source: 'reused' }), 2)
  assert.ok((value('process_open_fds') ?? 0) > 3)
  assert.ok((value('process_max_fds') ?? 0) > 3)
  assert.ok(Math.abs((value('process_start_time_seconds') ?? 0) - Date.now() / 1000) < 600)
})

test('a disk that does not let itself be counted costs two metrics, not all', async () => {
  const never = (signal: AbortSignal) => abortable(new Promise<never>(() => {}), within(signal, 10))
  using metrics = createOwnMetrics({ ...observed, images: { ...observed.images, containerUsage: never } })
  const families = new Map((await metrics.families(AbortSignal.timeout(5000))).map((family) => [family.name, family]))
  assert.deepEqual(families.get('coracle_writable_layers_bytes')?.samples, [])
  assert.equal(families.get('coracle_image_store_bytes')?.samples[0]?.value, 10)
})

test('docs/metrics.md lists the catalogue', () => {
  const text = readFileSync(new URL('../../../../docs/metrics.md', import.meta.url), 'utf8')
  assert.ok(text.includes(catalogueTable()), `put this into docs/metrics.md:\n${catalogueTable()}`)
})

function oneMetric(): OwnMetrics & { readonly disposed: () => number } {
  let disposed = 0
  return {
    families: async () => [{ name: 'a', help: 'A.', type: 'gauge', samples: [{ value: 1 }] }],
    disposed: () => disposed,
    [Symbol.dispose]: () => {
      disposed++
    },
  }
}

test('serveMetrics() serves one path, and says when it cannot', async () => {
  const metrics = oneMetric()
  const loopback = { address: '127.0.0.1' }
  {
    await using server = await serveMetrics({ ...loopback, port: 0 }, metrics)
    const reply = await fetch(`http://127.0.0.1:${server.port}/metrics`)
    assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    assert.match(await reply.text(), /^a 1$/m)
    // Scrapers may be told to send parameters.
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/metrics?node=a`)).status, 200)
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/`)).status, 404)
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'POST' })).status, 404)
    await assert.rejects(serveMetrics({ ...loopback, port: server.port }, metrics), /metrics\.port/)
  }
  assert.equal(metrics.disposed(), 2)
})

test('serveMetrics() speaks TLS, and takes a new certificate when its files change', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coracle-metrics-'))
  const tls = { certificateFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') }
  const write = (index: number) => {
    writeFileSync(tls.keyFile, testCertificates[index]?.key ?? '')
    writeFileSync(tls.certificateFile, testCertificates[index]?.certificate ?? '')
  }
  const options = { address: '127.0.0.1', port: 0, tls, checkCertificateMs: 10 }
  try {
    await assert.rejects(serveMetrics(options, oneMetric()), (err) => /cert\.pem/.test(explain(err)))
    write(0)
    await using server = await serveMetrics(options, oneMetric())
    const subject = async () => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const request = https.get({ port: server.port, path: '/metrics', rejectUnauthorized: false, agent: false }, (response) => {
        resolve(String((response.socket as TLSSocket).getPeerCertificate().subject.CN))
        response.resume()
      })
      request.on('error', reject)
      return promise
    }
    assert.equal(await subject(), 'coracle-test-1')
    await sleep(20)
    write(1)
    await eventually('the second certificate', async () => (await subject()) === 'coracle-test-2')
    await assert.rejects(fetch(`http://127.0.0.1:${server.port}/metrics`))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
