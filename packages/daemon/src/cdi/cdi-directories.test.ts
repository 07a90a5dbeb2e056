import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { configureLog } from '@coracle/base/log'
import { cdiDirectories } from './cdi-directories.ts'
import { cdiMaxFileBytes } from './cdi-file.ts'

const base = mkdtempSync(join(tmpdir(), 'cdi-'))
configureLog({ write: () => {} })
after(() => rmSync(base, { recursive: true, force: true }))

let serial = 0
/** Two directories of its own, and the look at them. */
function scene() {
  const [low, high] = [join(base, `${++serial}a`), join(base, `${serial}b`)]
  mkdirSync(low)
  const write = (name: string, text: string, directory = low) => writeFileSync(join(directory, name), text)
  return { low, high, write, look: cdiDirectories([low, high]) }
}
const json = (device: string, env = 'A=1') =>
  JSON.stringify({ cdiVersion: '0.6.0', kind: 'v.com/c', devices: [{ name: device, containerEdits: { env: [env] } }] })

describe('CDI directories', () => {
  test('absent directories are empty; what appears, changes and goes is seen at the next look', () => {
    const { look, write, low, high } = scene()
    assert.equal(look().devices.size, 0)
    write('a.json', json('0'))
    assert.deepEqual([...look().devices.keys()], ['v.com/c=0'])
    assert.equal(look(), look(), 'nothing is read again')
    write('a.json', json('one'))
    assert.deepEqual([...look().devices.keys()], ['v.com/c=one'])
    mkdirSync(high)
    write('b.json', json('one', 'B=2'), high)
    assert.equal(look().devices.get('v.com/c=one')?.path, join(high, 'b.json'))
    rmSync(join(low, 'a.json'))
    rmSync(join(high, 'b.json'))
    assert.equal(look().devices.size, 0)
  })

  test('YAML is read as the other readers of these files do: octal modes, names that look like times or numbers', () => {
    const { look, write } = scene()
    write(
      'a.yaml',
      `
cdiVersion: "0.6.0"
kind: v.com/c
devices:
  - name: 0
    containerEdits:
      deviceNodes: [{ path: /dev/x, fileMode: 0660, permissions: rw }]
  - name: 1:20
    containerEdits: { env: [ON=yes] }
`,
    )
    const { devices, problems } = look()
    assert.deepEqual(problems, [])
    assert.deepEqual([...devices.keys()], ['v.com/c=0', 'v.com/c=1:20'])
    assert.equal(devices.get('v.com/c=0')?.spec.devices.get('0')?.deviceNodes[0]?.fileMode, 0o660)
  })

  test('a file that cannot be used is told with its reason and does not disturb the others', () => {
    const { look, write, low } = scene()
    write('good.json', json('0'))
    write('broken.json', '{')
    write('broken.yaml', 'a: [')
    write(
      'bomb.yaml',
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]`,
    )
    write('deep.yaml', '['.repeat(100_000))
    write('large.json', json('1').padEnd(cdiMaxFileBytes + 1))
    write('open.json', json('2'))
    chmodSync(join(low, 'open.json'), 0o666)
    write('unknown.json', json('3').replace('"env"', '"envs"'))
    mkdirSync(join(low, 'directory.json'))
    symlinkSync('/nonexistent', join(low, 'dangling.json'))
    write('other.txt', 'x')
    const { devices, problems } = look()
    assert.deepEqual([...devices.keys()], ['v.com/c=0'])
    const reasons = new Map(problems.map(({ path, reason }) => [path.slice(low.length + 1), reason]))
    assert.match(reasons.get('broken.json') ?? '', /not valid JSON/)
    assert.match(reasons.get('broken.yaml') ?? '', /not valid YAML/)
    assert.match(reasons.get('bomb.yaml') ?? '', /not valid YAML|unknown/)
    assert.match(reasons.get('large.json') ?? '', /limit/)
    assert.match(reasons.get('open.json') ?? '', /chmod go-w/)
    assert.match(reasons.get('unknown.json') ?? '', /"envs" is unknown/)
    assert.match(reasons.get('directory.json') ?? '', /regular/)
    assert.ok(reasons.has('dangling.json') && reasons.has('deep.yaml'))
    assert.equal(reasons.size, 9)
    chmodSync(join(low, 'open.json'), 0o644)
    assert.ok(look().devices.has('v.com/c=2'), 'a mended file is seen')
  })
})
