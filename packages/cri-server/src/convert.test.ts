// What callers get: encodings, filters, codes, credentials, fingerprints.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { CodedError, type ErrorCode, failed } from '@coracle/base/errors'
import {
  AuthConfigSchema,
  ContainerFilterSchema,
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  PodSandboxConfigSchema,
  PodSandboxFilterSchema,
} from '@coracle/cri-api'
import { type Container, createContainer, type Pod, runPod, startContainer } from '@coracle/lifecycle'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { status } from '@grpc/grpc-js'
import { containerItem } from './convert/container.ts'
import { filterContainers, filterPods } from './convert/filter.ts'
import { credentialsOf } from './convert/image.ts'
import { podItem } from './convert/pod.ts'
import { chunksOf, listOf } from './encoded.ts'
import { toGrpc } from './errors.ts'
import { fingerprint } from './fingerprint.ts'
import { parseArgv, parseId, parseSeconds } from './parse.ts'

const never = new AbortController().signal

/** Two pods, in the first a running and a created container. */
async function scene() {
  const node = testServices()
  const { services } = node
  const labels = { app: 'web', ['__proto__']: 'x', constructor: 'y' }
  const run = (name: string, init: Parameters<typeof podConfig>[1]) =>
    runPod(services, { config: podConfig(name, init), handler: '', fingerprint: 'f' }, never)
  const first = await run('a', { labels, annotations: { long: 'é'.repeat(300) } })
  const second = await run('b', { labels: { app: 'db' } })
  const make = (name: string) =>
    createContainer(services, { podId: first, config: containerConfig(name, { labels }), fingerprint: 'f' }, never)
  const [running, created] = [await make('c'), await make('d')]
  await startContainer(services, running, never)
  return { node, services, first, second, running, created }
}

test('a list of cached encodings is what the generated encoder makes', async () => {
  const { node, services } = await scene()
  await using _node = node
  const pods = listOf([...services.pods.all()].map(podItem))
  const decoded = fromBinary(ListPodSandboxResponseSchema, pods.bytes)
  assert.equal(decoded.items.length, 2)
  assert.deepEqual(Buffer.from(toBinary(ListPodSandboxResponseSchema, decoded)), pods.bytes)
  const containers = listOf([...services.containers.all()].map(containerItem))
  const again = fromBinary(ListContainersResponseSchema, containers.bytes)
  assert.equal(again.containers.length, 2)
  assert.deepEqual(Buffer.from(toBinary(ListContainersResponseSchema, again)), containers.bytes)
  assert.equal(listOf([]).bytes.length, 0)
})

test('an item is encoded anew only when its record changed', async () => {
  const { node, services, running } = await scene()
  await using _node = node
  const record = services.containers.get(running)
  assert.equal(containerItem(record), containerItem(record))
  const changed = services.containers.put({ ...record, claimed: false })
  assert.notEqual(containerItem(changed), containerItem(record))
})

test('labels named like parts of every object are echoed', async () => {
  const { node, services } = await scene()
  await using _node = node
  const { items } = fromBinary(ListPodSandboxResponseSchema, listOf([...services.pods.all()].map(podItem)).bytes)
  const labels = items.find(({ metadata }) => metadata?.name === 'a')?.labels ?? {}
  assert.deepEqual(Object.keys(labels).sort(), ['__proto__', 'app', 'constructor'])
  assert.equal(Object.getOwnPropertyDescriptor(labels, '__proto__')?.value, 'x')
})

test('streamed lists are cut into messages that everybody takes, and lose nothing', () => {
  const items = Array.from({ length: 7 }, () => Buffer.alloc(300 * 1024, 1))
  const big = Buffer.alloc(3 * 1024 * 1024, 2)
  const chunks = [...chunksOf([...items, big, ...items])]
  assert.ok(chunks.every(({ bytes }) => bytes.length <= 1024 * 1024 || bytes.length === big.length))
  assert.deepEqual(Buffer.concat(chunks.map(({ bytes }) => bytes)), Buffer.concat([...items, big, ...items]))
  assert.deepEqual([...chunksOf([])], [])
})

test('filters: every condition must hold, ids may be shortened', async () => {
  const { node, services, first, second, running, created } = await scene()
  await using _node = node
  const pods = (filter: Parameters<typeof create<typeof PodSandboxFilterSchema>>[1]) =>
    filterPods(services.pods, create(PodSandboxFilterSchema, filter)).map(({ id }: Pod) => id)
  const containers = (filter: Parameters<typeof create<typeof ContainerFilterSchema>>[1]) =>
    filterContainers(services.containers, create(ContainerFilterSchema, filter)).map(({ id }: Container) => id)
  assert.deepEqual(pods({}), [first, second])
  assert.deepEqual(pods({ id: first.slice(0, 13) }), [first])
  assert.deepEqual(pods({ labelSelector: { app: 'db' } }), [second])
  assert.deepEqual(pods({ labelSelector: { app: 'db', toString: 'x' } }), [])
  assert.deepEqual(pods({ labelSelector: { ['__proto__']: 'x' } }), [first])
  assert.deepEqual(pods({ state: { state: 1 } }), [])
  assert.deepEqual(pods({ id: first, labelSelector: { app: 'db' } }), [])
  assert.deepEqual(containers({ podSandboxId: first.slice(0, 5), state: { state: 1 } }), [running])
  assert.deepEqual(containers({ id: created, labelSelector: { constructor: 'y' } }), [created])
  assert.deepEqual(containers({ podSandboxId: second }), [])
})

test('codes are told as they are; a call that was given up says so whatever failed inside', () => {
  const codes: Readonly<Partial<Record<ErrorCode, status>>> = {
    not_found: status.NOT_FOUND,
    invalid_argument: status.INVALID_ARGUMENT,
    already_exists: status.ALREADY_EXISTS,
    failed_precondition: status.FAILED_PRECONDITION,
    deadline_exceeded: status.DEADLINE_EXCEEDED,
    resource_exhausted: status.RESOURCE_EXHAUSTED,
    unavailable: status.UNAVAILABLE,
  }
  for (const [code, number] of Object.entries(codes)) {
    const failure = toGrpc(failed('do it', new CodedError(code as ErrorCode, 'the reason')), never)
    assert.deepEqual(failure, { code: number, details: 'do it: the reason' })
  }
  assert.equal(toGrpc(new TypeError('x'), never).code, status.INTERNAL)
  const late = AbortSignal.abort(new CodedError('deadline_exceeded', 'late'))
  assert.equal(toGrpc(new Error('inner'), late).code, status.DEADLINE_EXCEEDED)
  assert.ok(toGrpc(new Error('x'.repeat(100_000)), never).details.length <= 8001)
})

test('credentials in each of their forms, and only for their own server', () => {
  const of = (init: Parameters<typeof create<typeof AuthConfigSchema>>[1], registry = 'r.example') =>
    credentialsOf(create(AuthConfigSchema, init), registry)
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  assert.equal(credentialsOf(undefined, 'r.example'), undefined)
  assert.equal(of({}), undefined)
  assert.deepEqual(of({ username: 'u', password: 'p' }), { username: 'u', password: 'p' })
  assert.deepEqual(of({ auth: base64('u:p:with:colons\0\0') }), { username: 'u', password: 'p:with:colons' })
  assert.deepEqual(of({ identityToken: 't', username: 'u' }), { identityToken: 't', username: 'u' })
  assert.deepEqual(of({ registryToken: 't', username: 'u' }), { registryToken: 't' })
  assert.equal(of({ username: 'u', serverAddress: 'https://other.example/v1/' }), undefined)
  assert.deepEqual(of({ username: 'u', serverAddress: 'https://r.example/v1/' }), { username: 'u', password: '' })
  assert.deepEqual(of({ username: 'u', serverAddress: 'https://index.docker.io/v1/' }, 'docker.io'), {
    username: 'u',
    password: '',
  })
  for (const serverAddress of ['https://R.example', 'r.example:443/team', 'https://r.example:443/v2/'])
    assert.deepEqual(of({ username: 'u', serverAddress }), { username: 'u', password: '' }, serverAddress)
  assert.equal(of({ username: 'u', serverAddress: 'r.example:5000' }), undefined)
  for (const auth of [base64('no colon'), base64(':p'), '***'])
    assert.throws(
      () => of({ auth }),
      (err: unknown) => err instanceof CodedError && !err.message.includes('no colon') && err.code === 'invalid_argument',
    )
})

test('a fingerprint knows meaning, not order', () => {
  const config = (labels: Record<string, string>, attempt = 0) =>
    create(PodSandboxConfigSchema, { metadata: { name: 'a', namespace: 'b', uid: 'c', attempt }, labels })
  const one = fingerprint(config({ x: '1', y: '2' }), '')
  assert.equal(fingerprint(config({ y: '2', x: '1' }), ''), one)
  const proto = Object.fromEntries([['__proto__', 'z']])
  const others = [config({ x: '1' }), config({ x: '2', y: '1' }), config({ x: '1', y: '2' }, 1), config(proto), config({})]
  const all = new Set([one, fingerprint(config({ x: '1', y: '2' }), 'crun'), ...others.map((other) => fingerprint(other, ''))])
  assert.equal(all.size, 7)
})

test('requests are checked before anything is done', () => {
  for (const id of ['', '../x', 'a/b', 'a\0', 'x'.repeat(129)])
    assert.throws(() => parseId('pod_sandbox_id', id), { code: 'invalid_argument', message: /pod_sandbox_id/ })
  assert.equal(parseSeconds('timeout', 2n), 2000)
  assert.throws(() => parseSeconds('timeout', -1n), { code: 'invalid_argument', message: /timeout -1/ })
  assert.ok(Number.isSafeInteger(parseSeconds('timeout', 2n ** 63n - 1n)))
  for (const argv of [[], [''], ['a', 'b\0c']]) assert.throws(() => parseArgv('cmd', argv), { code: 'invalid_argument' })
})
