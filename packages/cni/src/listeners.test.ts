import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkListeners, parseListeners } from './listeners.ts'

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const tcp = `${head}   0: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0200000A:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
   3: 0200000A:1F90 0300000A:1234 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
`
const tcp6 = `${head}   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0
   1: 000000FD000000000000000002000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6 1 0 100 0 0 10 0
`
const udp = `${head} 1000: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 0
 1001: 0200000A:0045 0100000A:0043 01 00000000:00000000 00:00000000 00000000     0        0 8 2 0 0
`

test('listening sockets are read, others left out', () => {
  const ports = new Set([53, 80, 443, 8080, 8081, 8082, 69])
  assert.deepEqual(parseListeners(tcp, 'tcp', ports), [
    { protocol: 'tcp', address: '127.0.0.53', port: 53 },
    { protocol: 'tcp', address: '0.0.0.0', port: 80 },
    { protocol: 'tcp', address: '10.0.0.2', port: 443 },
  ])
  assert.deepEqual(parseListeners(tcp6, 'tcp', ports), [
    { protocol: 'tcp', address: '::', port: 8081 },
    { protocol: 'tcp', address: 'fd00::2', port: 8082 },
  ])
  assert.deepEqual(parseListeners(udp, 'udp', ports), [{ protocol: 'udp', address: '0.0.0.0', port: 53 }])
})

const cases = [
  // port, protocol, hostIP, taken
  [80, 'tcp', '', true],
  [80, 'udp', '', false],
  [80, 'tcp', '10.0.0.9', true],
  [80, 'tcp', 'fd00::9', false],
  [443, 'tcp', '', true],
  [443, 'tcp', '10.0.0.2', true],
  [443, 'tcp', '10.0.0.3', false],
  [53, 'tcp', '', false],
  [53, 'tcp', '127.0.0.53', true],
  [53, 'udp', '', true],
  [8080, 'tcp', '', false],
  [8081, 'tcp', '10.0.0.9', true],
  [8082, 'tcp', '0.0.0.0', false],
  [8082, 'tcp', 'fd00::2', true],
  [8082, 'tcp', '', true],
  [53, 'sctp', '', false],
] as const

test('a port is taken when traffic to the mapping would have gone to the listener', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'coracle-listeners-'))
  try {
    for (const [name, text] of Object.entries({ tcp, tcp6, udp })) writeFileSync(join(dir, name), text)
    for (const [hostPort, protocol, hostIP, taken] of cases) {
      const check = checkListeners([{ hostPort, containerPort: 1, protocol, hostIP }], dir)
      if (taken) await assert.rejects(check, { code: 'already_exists' }, `${hostIP}:${hostPort}/${protocol}`)
      else await check
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
})
