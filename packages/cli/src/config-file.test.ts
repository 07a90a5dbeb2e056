import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadContainerConfig, loadPodConfig } from './config-file.ts'

const base = mkdtempSync(join(tmpdir(), 'cli-config-'))
after(() => rmSync(base, { recursive: true }))

const directory = base
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

test('snake case and camel case, JSON and YAML, enums as numbers or names', async () => {
  const yaml = `metadata: {name: web, namespace: default, uid: u1}
log_directory: /tmp/x
port_mappings: [{container_port: 80, host_port: 8080, protocol: 1}]
linux: {security_context: {namespace_options: {network: NODE}}}
`
  const json =
    '{"metadata":{"name":"web","namespace":"default","uid":"u1"},"logDirectory":"/tmp/x","portMappings":[{"containerPort":80,"hostPort":8080,"protocol":"UDP"}],"linux":{"securityContext":{"namespaceOptions":{"network":2}}}}'
  assert.deepEqual(await loadPodConfig(file('p.yaml', yaml)), await loadPodConfig(file('p.json', json)))
})

test('a pod without uid gets one', async () => {
  const path = file('u.json', '{"metadata":{"name":"web"}}')
  const [a, b] = [await loadPodConfig(path), await loadPodConfig(path)]
  assert.ok(a.metadata?.uid && a.metadata.uid !== b.metadata?.uid)
})

test('values of variables are text', async () => {
  const config = await loadContainerConfig(file('c.yaml', 'envs: [{key: A, value: "grün"}, {key: N, value: 5}, {key: E}]\n'))
  assert.deepEqual(
    config.envs.map(({ value }) => String(Buffer.from(value))),
    ['grün', '5', ''],
  )
})

test('mistakes are named with file and field', async () => {
  await assert.rejects(loadPodConfig(file('x.json', '{"metadata":{"nam":"x"}}')), /pod configuration .*x\.json: .*"nam"/)
  await assert.rejects(loadPodConfig(file('y.json', '{')), /y\.json is not valid JSON/)
  await assert.rejects(loadPodConfig(file('z.yaml', 'a: [')), /z\.yaml is not valid YAML/)
  await assert.rejects(loadContainerConfig(file('e.yaml', '')), /container configuration .*e\.yaml is empty/)
  await assert.rejects(loadContainerConfig(join(directory, 'none')), { code: 'not_found' })
})
