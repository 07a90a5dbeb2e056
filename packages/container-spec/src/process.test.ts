import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { container, image, input, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { commandLine, execProcess, workingDirectory } from './process.ts'
import { createSpec } from './spec.ts'

describe('M-14 M-15 command and args against Entrypoint and Cmd', () => {
  const some = { none: [], entrypoint: ['/ep', 'e'], cmd: ['c'], command: ['/cmd', 'x'], args: ['a'] }
  const { none, entrypoint, cmd, command, args } = some
  const table: readonly (readonly string[][])[] = [
    // command, args, Entrypoint, Cmd, result
    [none, none, none, none, none],
    [none, none, none, cmd, cmd],
    [none, none, entrypoint, none, entrypoint],
    [none, none, entrypoint, cmd, [...entrypoint, ...cmd]],
    [none, args, none, none, args],
    [none, args, none, cmd, args],
    [none, args, entrypoint, none, [...entrypoint, ...args]],
    [none, args, entrypoint, cmd, [...entrypoint, ...args]],
    [command, none, none, none, command],
    [command, none, none, cmd, command],
    [command, none, entrypoint, none, command],
    [command, none, entrypoint, cmd, command],
    [command, args, none, none, [...command, ...args]],
    [command, args, none, cmd, [...command, ...args]],
    [command, args, entrypoint, none, [...command, ...args]],
    [command, args, entrypoint, cmd, [...command, ...args]],
  ]
  for (const [command = [], args = [], entrypoint = [], cmd = [], result = []] of table)
    test(`${command} | ${args} | ${entrypoint} | ${cmd}`, () => {
      const make = () => commandLine(container({ command, args }), { ...image, entrypoint, cmd })
      if (result.length === 0) throws(make, 'invalid_argument', 'nothing to run')
      else assert.deepEqual(make(), result)
    })
  test('an empty program name and NUL are refused', () => {
    throws(() => commandLine(container({ command: [''] }), image), 'invalid_argument', 'empty')
    throws(() => commandLine(container({ command: ['a', 'b\0'] }), image), 'invalid_argument', 'NUL')
  })
})

describe('M-17 working directory', () => {
  const at = (workingDir: string, ofImage = '') => workingDirectory(container({ workingDir }), { ...image, workingDir: ofImage })
  test('CRI’s, else the image’s, else /', () => {
    assert.equal(at(''), '/')
    assert.equal(at('', '/srv/x/'), '/srv/x')
    assert.equal(at('', 'srv'), '/srv')
    assert.equal(at('/a', '/b'), '/a')
  })
  test('CVE-2026-55686: dots stay below the root', () => {
    assert.equal(at('', '/a/../../../../canary/x'), '/canary/x')
  })
  for (const path of [
    '/proc/self/fd/7',
    '/proc/1/fd/3',
    '/proc/self/cwd',
    '/proc/thread-self/root',
    '/dev/fd/9',
    '/x/../proc/self/fd/8',
  ])
    test(`CVE-2024-21626: ${path} is refused`, () => {
      throws(() => at(path), 'invalid_argument', 'config.working_dir')
      throws(() => at('', path), 'invalid_argument', 'working directory of the image')
    })
  test('relative and NUL are refused', () => {
    throws(() => at('a'), 'invalid_argument', 'config.working_dir')
    throws(() => at('/a\0b'), 'invalid_argument', 'config.working_dir')
  })
})

describe('execProcess', () => {
  const { process } = createSpec(
    input({
      config: secured({
        runAsUser: { value: 7n },
        noNewPrivs: true,
        capabilities: { addCapabilities: ['NET_RAW'], dropCapabilities: ['KILL'] },
      }),
    }),
  ).spec
  test('I12 CVE-2022-29162: everything but the command is the container’s', () => {
    const exec = execProcess(process, { args: ['/bin/ls', '-l'], terminal: false })
    assert.deepEqual({ ...exec, args: process.args }, process)
    assert.deepEqual(exec.args, ['/bin/ls', '-l'])
  })
  test('a terminal brings TERM and its size', () => {
    const exec = execProcess(process, { args: ['sh'], terminal: true, consoleSize: { height: 24, width: 80 } })
    assert.equal(exec.terminal, true)
    assert.deepEqual(exec.consoleSize, { height: 24, width: 80 })
    assert.equal(exec.env.at(-1), 'TERM=xterm')
    assert.deepEqual(execProcess(exec, { args: ['sh'], terminal: false }).consoleSize, undefined)
  })
  test('no command is refused', () => {
    throws(() => execProcess(process, { args: [], terminal: false }), 'invalid_argument', 'cmd')
  })
})
