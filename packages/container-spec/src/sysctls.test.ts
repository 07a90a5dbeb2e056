import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { throws } from '../test/throws.ts'
import { checkSysctls, defaultSysctls, splitSysctls } from './sysctls.ts'

const own = { network: true, ipc: true, uts: true }

describe('checkSysctls', () => {
  test('H-38: namespaced ones pass', () => {
    const sysctls = {
      'kernel.shm_rmid_forced': '1',
      'kernel.shmmax': '68719476736',
      'kernel.msgmax': '65536',
      'kernel.sem': '250\t32000 100 128',
      'fs.mqueue.msg_max': '100',
      'net.ipv4.ip_local_port_range': '1024 65535',
      'net.ipv4.conf.eth0.rp_filter': '1',
      'net.ipv4.conf.eth0/100.rp_filter': '1',
      'net.ipv4.ip_local_reserved_ports': '',
      'kernel.domainname': 'example.org',
    }
    assert.deepEqual(checkSysctls(sysctls, own), sysctls)
  })
  const names =
    'kernel.core_pattern kernel.hostname kernel.shmx kernel.semx kernel.sem.x vm.swappiness fs.file-max net/ipv4/ip_forward net net. .net net..x kernel.shm_rmid_forced/../core_pattern net.ipv4/../x net.ipv4./x net.ipv4.x/ net/x.y net.ipv4.x\n kernel.msgmax= kernel.randomize_va_space user.max_user_namespaces fs.mqueue'
  for (const name of [...names.split(' '), 'kernel.shm_rmid_forced ', ' kernel.sem', ''])
    test(`CVE-2022-0811: ${JSON.stringify(name)} is refused`, () => {
      throws(() => checkSysctls({ [name]: '1' }, own), 'invalid_argument', 'config.linux.sysctls')
    })
  for (const value of ['1+kernel.core_pattern=|/evil', '1\n2', '1\0', '1\r', 'ü', '1'.repeat(5000)])
    test(`CVE-2022-0811: value ${JSON.stringify(value.slice(0, 30))} is refused`, () => {
      throws(() => checkSysctls({ 'kernel.shm_rmid_forced': value }, own), 'invalid_argument', 'config.linux.sysctls')
    })
  test('defaults are for pods with a network of their own, and pass the check', () => {
    assert.deepEqual(defaultSysctls({ network: false }), {})
    assert.deepEqual(checkSysctls(defaultSysctls(own), own), defaultSysctls(own))
  })
  test('those of interfaces come after the others', () => {
    const atOnce = {
      'net.ipv4.conf.all.rp_filter': '1',
      'net.ipv6.neigh.default.gc_thresh1': '1',
      'net.ipv4.conf.lo.accept_local': '1',
    }
    const ofInterfaces = { 'net.ipv4.conf.eth0.rp_filter': '2', 'net.ipv6.neigh.eth0/7.delay_first_probe_time': '3' }
    assert.deepEqual(splitSysctls({ ...ofInterfaces, ...atOnce }), { atOnce, ofInterfaces })
  })
  test('GHSA-w2j5-3rcx-vx7x: none in the node’s own namespaces', () => {
    throws(() => checkSysctls({ 'net.core.somaxconn': '1' }, { ...own, network: false }), 'invalid_argument', 'network namespace')
    throws(() => checkSysctls({ 'kernel.shmmax': '1' }, { ...own, ipc: false }), 'invalid_argument', 'IPC namespace')
    throws(() => checkSysctls({ 'kernel.domainname': 'x' }, { ...own, uts: false }), 'invalid_argument', 'UTS namespace')
  })
})
