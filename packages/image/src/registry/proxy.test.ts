import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maskedProxy, proxyAuthorization, proxyFor } from './proxy.ts'

const settings = { http: 'http://plain:1', https: 'https://secure:2' }
const via = (url: string, except: readonly string[] = []) => proxyFor(new URL(url), { ...settings, except })?.host

test('by scheme; loopback never', () => {
  assert.equal(via('http://r.io/'), 'plain:1')
  assert.equal(via('https://r.io/'), 'secure:2')
  for (const url of ['http://localhost/', 'https://127.3.2.1:5000/', 'https://[::1]/']) assert.equal(via(url), undefined)
  assert.equal(proxyFor(new URL('https://r.io'), {}), undefined)
})

test('R-23 exceptions: names, subdomains, ports, addresses, CIDR ranges, everything', () => {
  const direct = (url: string, ...except: string[]) => via(url, except) === undefined
  assert.ok(direct('https://r.io/', 'r.io'))
  assert.ok(direct('https://a.r.io/', 'r.io'))
  assert.ok(!direct('https://xr.io/', 'r.io'))
  assert.ok(direct('https://a.r.io/', '.r.io'))
  assert.ok(direct('https://a.r.io/', '*.r.io'))
  assert.ok(!direct('https://r.io/', '.r.io'))
  assert.ok(direct('https://r.io:5000/', 'R.io:5000'))
  assert.ok(direct('https://r.io/', ' r.io:443'))
  assert.ok(!direct('https://r.io/', 'r.io:5000'))
  assert.ok(direct('https://10.1.2.3/', '10.0.0.0/8'))
  assert.ok(!direct('https://11.1.2.3/', '10.0.0.0/8'))
  assert.ok(direct('https://[2001:db8::5]:1/', '2001:db8::/32'))
  assert.ok(!direct('https://r.io/', '10.0.0.0/8', '10.0.0.0/99', 'nonsense/8', ''))
  assert.ok(direct('https://10.1.2.3/', '10.1.2.3'))
  assert.ok(direct('https://anything/', '*'))
})

test('R-23 credentials of a proxy are sent, and never shown', () => {
  assert.equal(proxyAuthorization(new URL('http://u:p%40ss@h')), `Basic ${Buffer.from('u:p@ss').toString('base64')}`)
  assert.equal(proxyAuthorization(new URL('http://h')), undefined)
  for (const text of ['http://u:p@h:1', 'u:p@h:1', 'ftp://u:p@h:1']) assert.doesNotMatch(maskedProxy(text), /u:p/)
  assert.throws(
    () => proxyFor(new URL('https://r.io'), { https: 'socks5://u:geheim@h' }),
    (err) => err instanceof Error && /socks5: expected http or https/.test(err.message) && !err.message.includes('geheim'),
  )
})
