import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import { openSelinux, selinuxFinding } from './selinux.ts'

const root = mkdtempSync(join(tmpdir(), 'selinux-'))
after(() => rmSync(root, { recursive: true, force: true }))
const config = { root: join(root, 'data'), selinux: { enabled: true } }
const write = (path: string, text: string) => {
  mkdirSync(join(root, path, '..'), { recursive: true })
  writeFileSync(join(root, path), text)
}

describe('SELinux of a node', () => {
  test('is not used where the kernel has none, or by configuration', () => {
    assert.equal(openSelinux(config, createHost(), { root }), undefined)
    assert.match(selinuxFinding(config, root).detail, /not in this kernel/)
    write('sys/fs/selinux/enforce', '1')
    assert.equal(openSelinux({ ...config, selinux: { enabled: false } }, createHost(), { root }), undefined)
    assert.equal(selinuxFinding({ selinux: { enabled: false } }, root).state, 'ok')
  })

  test('the words for containers come from its policy; without them it says what to install', () => {
    const selinux = openSelinux(config, createHost(), { root })
    assert.throws(
      () => selinux?.policy(),
      (err) => codeOf(err) === 'failed_precondition',
    )
    assert.equal(selinuxFinding(config, root).state, 'missing')
    write('etc/selinux/config', '# comment\nSELINUX=enforcing\nSELINUXTYPE=strict # here\n')
    write(
      'etc/selinux/strict/contexts/lxc_contexts',
      'process = "system_u:system_r:container_t:s0"\ncontent = "x:y:z:s0"\nfile = "system_u:object_r:container_file_t:s0"\n',
    )
    assert.deepEqual(selinux?.policy(), {
      process: { user: 'system_u', role: 'system_r', type: 'container_t' },
      file: { user: 'system_u', role: 'object_r', type: 'container_file_t' },
      privilegedType: 'spc_t',
    })
    assert.match(selinuxFinding(config, root).detail, /container_t, files container_file_t/)
  })
})
