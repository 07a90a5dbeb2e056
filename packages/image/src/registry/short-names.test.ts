import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatReference } from '@coracle/oci-spec/reference'
import { parseRegistriesConf } from './files/registries-conf.ts'
import { candidatesOf } from './short-names.ts'

const conf = (text: string) => parseRegistriesConf([{ file: '/r.conf', text }])
const names = (name: string, text: string) => candidatesOf(name, conf(text)).map(({ reference }) => formatReference(reference))

describe('names without a registry', () => {
  const search = 'unqualified-search-registries = ["a.io", "docker.io"]\n'
  const alias = '[aliases]\n"busybox" = "q.io/base/busybox"\n"ns/app" = "q.io/app"\n'
  test('F-01 without configuration they are of docker.io', () => {
    assert.deepEqual(names('busybox', ''), ['docker.io/library/busybox:latest'])
    assert.deepEqual(names('busybox', 'unqualified-search-registries = []'), ['docker.io/library/busybox:latest'])
  })

  test('aliases, with tag and digest', () => {
    const digest = `sha256:${'a'.repeat(64)}`
    assert.deepEqual(names('busybox', search + alias), ['q.io/base/busybox:latest'])
    assert.deepEqual(names('busybox:1', alias), ['q.io/base/busybox:1'])
    assert.deepEqual(names(`ns/app@${digest}`, alias), [`q.io/app@${digest}`])
    assert.equal(candidatesOf('busybox', conf(alias))[0]?.from, '/r.conf:2')
  })

  test('search, in order; names with a registry are not searched for', () => {
    assert.deepEqual(names('x:1', search), ['a.io/x:1', 'docker.io/library/x:1'])
    assert.deepEqual(names('ns/x', search), ['a.io/ns/x:latest', 'docker.io/ns/x:latest'])
    assert.deepEqual(names('x', 'unqualified-search-registries = ["a.io/", "[::1]:5000", "localhost"]'), [
      'a.io/x:latest',
      '[::1]:5000/x:latest',
      'localhost/x:latest',
    ])
    for (const full of ['docker.io/x', 'localhost/x', 'r.io/busybox', 'index.docker.io/x', '[::1]:5000/x'])
      assert.equal(names(full, search + alias).length, 1, full)
    assert.deepEqual(names('docker.io/busybox', alias), ['docker.io/library/busybox:latest'])
  })

  test('enforcing: what could come from two registries is refused, with the file that says so', () => {
    const enforcing = 'short-name-mode = "enforcing"\n'
    assert.throws(() => names('x', enforcing + search), /"x" names no registry.*a\.io, docker\.io \(\/r\.conf:2\).*\/r\.conf:1/)
    assert.deepEqual(names('busybox', enforcing + search + alias), ['q.io/base/busybox:latest'])
    assert.deepEqual(names('x', `${enforcing}unqualified-search-registries = ["a.io"]`), ['a.io/x:latest'])
    assert.deepEqual(names('busybox', `short-name-mode = "disabled"\n${alias}`), ['docker.io/library/busybox:latest'])
  })

  test('F-02 F-03 what is no name is refused as ever', () => {
    for (const bad of ['', 'UPPER', 'a'.repeat(64), '-x', 'x@sha256:short', 'x\0', 'x'.repeat(1 << 20)])
      assert.throws(() => names(bad, search + alias), /image reference/)
  })
})
