import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { deviceNumbers } from './devices.ts'
import { socketAddress } from './dial.ts'
import { capabilityNames, hugepageSizes, kernelIsAtLeast, maskOf, openFileLimit } from './features.ts'
import { looseOwnership, meetsFloor } from './preflight-programs.ts'
import { parseStats } from './probe.ts'
import { sysctlPath, writeSysctl } from './procfs.ts'
import { passedFds } from './socket/receive-fd.ts'

const isInvalid = (err: unknown): boolean => codeOf(err) === 'invalid_argument'

test('sysctlPath() takes both separators and nothing that leaves /proc/sys', () => {
  assert.equal(sysctlPath('net.ipv4.ip_forward'), '/proc/sys/net/ipv4/ip_forward')
  assert.equal(sysctlPath('net.ipv4.conf.eth0/100.forwarding'), '/proc/sys/net/ipv4/conf/eth0.100/forwarding')
  assert.equal(sysctlPath('net/ipv4/conf/eth0.100/forwarding'), '/proc/sys/net/ipv4/conf/eth0.100/forwarding')
  for (const key of ['', 'kernel', 'net/../../etc/passwd', '../x.y', '.a.b', 'a..b', 'a.', '/a.b', 'a.//.b', 'a.b\0'])
    assert.throws(() => sysctlPath(key), isInvalid, key)
})

test('CVE-2025-52881: writeSysctl() refuses a file that is not on a proc file system', () => {
  const root = mkdtempSync(join(tmpdir(), 'coracle-proc-'))
  try {
    mkdirSync(join(root, 'kernel'))
    writeFileSync(join(root, 'kernel/exec'), 'before')
    symlinkSync('exec', join(root, 'kernel/link'))
    assert.throws(
      () => writeSysctl('kernel.exec', 'after', root),
      (err) => codeOf(err) === 'failed_precondition',
    )
    assert.throws(() => writeSysctl('kernel.link', 'after', root))
    assert.equal(readFileSync(join(root, 'kernel/exec'), 'latin1'), 'before')
  } finally {
    rmSync(root, { recursive: true })
  }
})

test('parseStats() keeps names with blanks and newlines', () => {
  const found = parseStats('21b6 1 3 /dev/null\x0041ed 0 0 /a b\nc\x0061b0 103 ff /dev/x\0')
  assert.deepEqual(found.get('/dev/null'), { path: '/dev/null', type: 'character', major: 1, minor: 3 })
  assert.deepEqual(found.get('/a b\nc'), { path: '/a b\nc', type: 'directory', major: 0, minor: 0 })
  assert.deepEqual(found.get('/dev/x'), { path: '/dev/x', type: 'block', major: 0x103, minor: 255 })
})

test('socketAddress() encodes both families', () => {
  assert.deepEqual([...socketAddress('127.0.0.1', 8080).bytes], [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  const six = (text: string) => Buffer.from(socketAddress(text, 1).bytes.subarray(8, 24)).toString('hex')
  assert.equal(six('::1'), `${'0'.repeat(31)}1`)
  assert.equal(six('fd00:1::a:2'), 'fd00000100000000000000000' + '00a0002')
  assert.equal(six('::ffff:10.1.2.3'), '00000000000000000000ffff0a010203')
  assert.equal(six('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008')
  for (const [address, port] of [
    ['localhost', 1],
    ['fe80::1%eth0', 1],
    ['::1', 0],
    ['::1', 65536],
    ['::1', 1.5],
  ] as const)
    assert.throws(() => socketAddress(address, port), isInvalid)
})

test('passedFds() reads control messages and stops at broken ones', () => {
  const message = (length: number, level: number, type: number, ...fds: number[]) => {
    const bytes = Buffer.alloc(16 + Math.ceil((fds.length * 4) / 8) * 8)
    bytes.writeBigUInt64LE(BigInt(length), 0)
    bytes.writeInt32LE(level, 8)
    bytes.writeInt32LE(type, 12)
    for (const [index, fd] of fds.entries()) bytes.writeInt32LE(fd, 16 + index * 4)
    return bytes
  }
  assert.deepEqual(passedFds(Buffer.concat([message(28, 1, 2, 1, 2, 3), message(24, 1, 1, 7, 8)])), [7, 8])
  assert.deepEqual(passedFds(message(0, 1, 1, 9)), [])
  assert.deepEqual(passedFds(message(4096, 1, 1, 9)), [])
  assert.deepEqual(passedFds(Buffer.alloc(7)), [])
})

test('capabilityNames() and maskOf() read a status file', () => {
  const mask = maskOf('Name:\tx\nCapPrm:\t0000000000000000\nCapBnd:\t0000010000000021\n', 'CapBnd')
  assert.deepEqual(capabilityNames(mask), ['CAP_CHOWN', 'CAP_KILL', 'CAP_CHECKPOINT_RESTORE'])
  assert.equal(maskOf('', 'CapEff'), 0n)
})

test('kernelIsAtLeast() compares numbers', () => {
  assert.equal(kernelIsAtLeast(5, 8, '5.10.0-28-amd64'), true)
  assert.equal(kernelIsAtLeast(5, 19, '5.9.1'), false)
  assert.equal(kernelIsAtLeast(5, 19, '6.1'), true)
})

test('openFileLimit() takes unlimited', () => {
  assert.deepEqual(openFileLimit('Max open files            1024                 unlimited            files \n'), {
    soft: 1024,
    hard: Number.MAX_SAFE_INTEGER,
  })
})

test('hugepageSizes() spells sizes as the hugetlb controller does', () => {
  const root = mkdtempSync(join(tmpdir(), 'coracle-huge-'))
  for (const name of ['hugepages-1048576kB', 'hugepages-64kB', 'hugepages-2048kB', 'other']) mkdirSync(join(root, name))
  assert.deepEqual(hugepageSizes(root), ['64KB', '2MB', '1GB'])
  rmSync(root, { recursive: true })
  assert.deepEqual(hugepageSizes(root), [])
})

test('deviceNumbers() splits as makedev joins', () => {
  assert.deepEqual(deviceNumbers(0x103), { major: 1, minor: 3 })
  assert.deepEqual(deviceNumbers(0x12345678), { major: 0x456, minor: 0x12378 })
})

test('meetsFloor() knows a floor for each line', () => {
  const floors = ['1.3.6', '1.4.3', '1.5.1']
  for (const version of ['1.3.6', '1.3.10', '1.4.3', '1.5.1', '1.6.0', '2.0'])
    assert.equal(meetsFloor(version, floors), true, version)
  for (const version of ['1.1.5', '1.3.5', '1.4.2', '1.5.0', '1.5']) assert.equal(meetsFloor(version, floors), false, version)
})

test('H-66: a program that others than root may change is told of', () => {
  assert.equal(looseOwnership({ uid: 0, mode: 0o100755 }), undefined)
  assert.match(looseOwnership({ uid: 1000, mode: 0o100755 }) ?? '', /owned by uid 1000/)
  for (const mode of [0o100775, 0o100757]) assert.match(looseOwnership({ uid: 0, mode }) ?? '', /written by others/)
})
