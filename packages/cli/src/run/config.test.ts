import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NamespaceMode, Protocol } from '@coracle/cri-api'
import { parseArguments } from '../options.ts'
import { UsageError } from '../usage-error.ts'
import { buildConfigs, imageStem, runLogDirectory } from './config.ts'
import { runOptions } from './options.ts'
import { parsePort, parseUser, parseVariable, parseVolume } from './specs.ts'

function build(...args: string[]) {
  const { options, operands } = parseArguments(runOptions, args, { stopAtOperand: true })
  const [image = '', ...command] = operands
  return buildConfigs({ options, image, command, suffix: 'abc123', uid: 'u-1', environment: { HOME: '/root' } })
}

test('an image and a command are enough', () => {
  const { pod, container } = build('127.0.0.1:5000/a/busybox:1', 'sh', '-c', 'x')
  assert.equal(pod.metadata?.name, 'busybox-abc123')
  assert.equal(pod.hostname, 'busybox-abc123')
  assert.equal(pod.logDirectory, '/var/log/coracle/busybox-abc123_u-1')
  assert.equal(container.logPath, '0.log')
  assert.deepEqual([container.command, container.args], [[], ['sh', '-c', 'x']])
  assert.equal(container.labels['io.kubernetes.pod.name'], pod.metadata?.name)
  assert.equal(pod.linux?.securityContext?.namespaceOptions?.network, NamespaceMode.POD)
})

test('every option reaches its field', () => {
  const { pod, container } = build(
    ...[
      '-e',
      'A=b=c',
      '-e',
      'HOME',
      '-e',
      'UNSET',
      '-v',
      '/data:/d:ro',
      '-p',
      '8080:80',
      '--name',
      'web',
      '--hostname',
      'h',
      '-w',
      '/w',
    ],
    ...[
      '-u',
      '5:6',
      '-m',
      '64m',
      '--cpus',
      '0.5',
      '--cap-add',
      'NET_ADMIN',
      '--cap-drop',
      'ALL',
      '--read-only',
      '--entrypoint',
      '/e',
    ],
    ...['--dns', '9.9.9.9', '-l', 'k=v', 'img'],
  )
  const environment = container.envs.map(({ key, value }) => `${key}=${Buffer.from(value)}`)
  assert.deepEqual(environment, ['A=b=c', 'HOME=/root'])
  assert.deepEqual(
    [container.mounts[0]?.hostPath, container.mounts[0]?.containerPath, container.mounts[0]?.readonly],
    ['/data', '/d', true],
  )
  assert.deepEqual([pod.portMappings[0]?.hostPort, pod.portMappings[0]?.containerPort], [8080, 80])
  assert.deepEqual([pod.metadata?.name, pod.hostname, container.workingDir, container.command], ['web', 'h', '/w', ['/e']])
  const { securityContext, resources } = container.linux ?? {}
  assert.deepEqual([securityContext?.runAsUser?.value, securityContext?.runAsGroup?.value], [5n, 6n])
  assert.deepEqual([resources?.memoryLimitInBytes, resources?.cpuQuota, resources?.cpuPeriod], [67_108_864n, 50_000n, 100_000n])
  assert.deepEqual(
    [securityContext?.capabilities?.addCapabilities, securityContext?.capabilities?.dropCapabilities],
    [['NET_ADMIN'], ['ALL']],
  )
  assert.equal(securityContext?.readonlyRootfs, true)
  assert.deepEqual(pod.dnsConfig?.servers, ['9.9.9.9'])
  assert.equal(pod.labels['k'], 'v')
})

test('host network and privilege hold for pod and container alike', () => {
  const { pod, container } = build('--network', 'host', '--privileged', 'img')
  assert.equal(pod.hostname, '')
  for (const context of [pod.linux?.securityContext, container.linux?.securityContext]) {
    assert.equal(context?.namespaceOptions?.network, NamespaceMode.NODE)
    assert.equal(context?.privileged, true)
  }
  assert.throws(() => build('--network', 'host', '-p', '1:1', 'img'), UsageError)
})

test('bad names and sizes are refused', () => {
  assert.throws(() => build('--name', '../x', 'img'), UsageError)
  assert.throws(() => build('--cpus', '0', 'img'), UsageError)
})

test('the default name comes from the image', () => {
  const cases = [
    ['busybox', 'busybox'],
    ['127.0.0.1:5000/a/b_c:1.2', 'b-c'],
    ['r.example/x@sha256:00', 'x'],
    ['x/___', 'pod'],
  ]
  for (const [image, stem] of cases) assert.equal(imageStem(image ?? ''), stem)
})

test('a log directory is never outside its root', () => {
  assert.equal(runLogDirectory({ name: '..', uid: '/../x' }), undefined)
  assert.equal(runLogDirectory({ name: 'x', uid: '' }), undefined)
})

test('volumes', () => {
  assert.deepEqual(parseVolume('/a:/b'), { hostPath: '/a', containerPath: '/b', readonly: false })
  assert.equal(parseVolume('./x:/b').hostPath, `${process.cwd()}/x`)
  for (const text of ['/a', '/a:b', 'data:/b', '/a:/b:rx', '/a:/b:ro:z', ''])
    assert.throws(() => parseVolume(text), UsageError, text)
})

test('ports', () => {
  assert.deepEqual(parsePort('127.0.0.1:8080:80'), {
    hostIp: '127.0.0.1',
    hostPort: 8080,
    containerPort: 80,
    protocol: Protocol.TCP,
  })
  assert.deepEqual(parsePort('[::1]:53:53/UDP'), { hostIp: '::1', hostPort: 53, containerPort: 53, protocol: Protocol.UDP })
  for (const text of ['80', '0:80', '8080:70000', 'x:y', '1:1/icmp', '']) assert.throws(() => parsePort(text), UsageError, text)
})

test('users and variables', () => {
  assert.deepEqual(parseUser('0'), { uid: 0n })
  assert.deepEqual(parseUser('www-data'), { username: 'www-data' })
  for (const text of ['', 'www:0', '1:www', '1:2:3']) assert.throws(() => parseUser(text), UsageError, text)
  assert.deepEqual(parseVariable('A=', {}), { key: 'A', value: '' })
  assert.equal(parseVariable('A', {}), undefined)
  assert.throws(() => parseVariable('=x', {}), UsageError)
})
