import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { unlessErrno } from '@coracle/base/errno'
import { needsRoot } from '@coracle/testkit/needs-root'
import { createCgroups } from '../src/cgroup/cgroups.ts'
import { readLayout } from '../src/cgroup/layout.ts'
import { createKeptFiles } from '../src/stats/kept-files.ts'
import { readSmall } from '../src/stats/read-small.ts'

const name = `coracle-kept-${process.pid}`
const hierarchy = readLayout('/sys/fs/cgroup').hierarchies.find(({ controllers }) => controllers.includes('memory'))
const directory = `${hierarchy?.root}/${name}`
const limit = `${directory}/${hierarchy?.version === 1 ? 'memory.limit_in_bytes' : 'memory.max'}`

const openFiles = (): string[] =>
  readdirSync('/proc/self/fd')
    .map((fd) => unlessErrno(['ENOENT'], () => readlinkSync(`/proc/self/fd/${fd}`), ''))
    .filter((path) => path.includes(name))

describe('files kept open', needsRoot(), () => {
  it('are read anew each time, do not hold their cgroup, and are found again when it is made again', () => {
    const read = createKeptFiles()
    mkdirSync(directory)
    try {
      assert.ok(read(limit))
      writeFileSync(limit, '67108864')
      assert.equal(read(limit)?.trim(), '67108864')
      assert.equal(read(`${directory}/memory.stat`)?.split(' ')[0], readSmall(`${directory}/memory.stat`)?.split(' ')[0])
      assert.equal(openFiles().length, 2)
    } finally {
      rmdirSync(directory)
    }
    assert.equal(read(`${directory}/memory.stat`), undefined)
    assert.equal(read(limit), undefined)
    assert.deepEqual(openFiles(), [], 'nothing is left open')
    mkdirSync(directory)
    try {
      assert.notEqual(read(limit)?.trim(), '67108864')
    } finally {
      rmdirSync(directory)
    }
    assert.equal(read(limit), undefined)
  })

  it('are no more than allowed', () => {
    const read = createKeptFiles(1)
    mkdirSync(directory)
    try {
      for (let i = 0; i < 2; i++) {
        assert.ok(read(limit))
        assert.ok(read(`${directory}/memory.stat`))
      }
      assert.equal(openFiles().length, 1)
      assert.equal(read(`${directory}/no.such.file`), undefined)
    } finally {
      rmdirSync(directory)
    }
    assert.equal(read(limit), undefined)
    assert.equal(createCgroups().exists(`/${name}`), false)
  })
})
