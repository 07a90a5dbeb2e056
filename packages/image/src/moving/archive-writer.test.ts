// Where an archive may go: a file of its own, or something that is there and must stay what it is.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { ArchiveWriter } from './archive-writer.ts'

describe('writing an archive', () => {
  let directory = ''
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-writer-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  const write = async (path: string) => {
    await using writer = await ArchiveWriter.open(path)
    await writer.add('hello', [Buffer.from('world')], AbortSignal.timeout(10_000))
    await writer.commit()
  }
  const names = (bytes: Buffer) => execFileSync('tar', ['-tf', '-'], { input: bytes, encoding: 'utf8' }).trim()

  it('replaces a file, and follows a link to it', async () => {
    writeFileSync(join(directory, 'file.tar'), 'old')
    symlinkSync('file.tar', join(directory, 'link.tar'))
    await write(join(directory, 'link.tar'))
    assert.equal(readlinkSync(join(directory, 'link.tar')), 'file.tar')
    assert.equal(names(readFileSync(join(directory, 'file.tar'))), 'hello')
    symlinkSync('new.tar', join(directory, 'dangling.tar'))
    await write(join(directory, 'dangling.tar'))
    assert.equal(names(readFileSync(join(directory, 'new.tar'))), 'hello')
  })

  it('writes into a pipe and leaves it there: so it is with devices, too', async () => {
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'inherit'] })
    const read = Array.fromAsync(reader.stdout as AsyncIterable<Buffer>)
    await write(fifo)
    assert.equal(names(Buffer.concat(await read)), 'hello')
    assert.ok(lstatSync(fifo).isFIFO())
    await write('/dev/null')
    assert.ok(lstatSync('/dev/null').isCharacterDevice())
  })

  it('refuses a directory before anything is written', async () => {
    await assert.rejects(
      ArchiveWriter.open(directory),
      (err) => codeOf(err) === 'invalid_argument' && /is a directory/.test(String(err)),
    )
    assert.ok(!readdirSync(join(directory, '..')).some((name) => name.startsWith('.coracle-')))
  })
})
