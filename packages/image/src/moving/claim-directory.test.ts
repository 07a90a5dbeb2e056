// Directories as destinations: what else lies there is nobody's to overwrite.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { parseDigest } from '@coracle/oci-spec/digest'
import { archiveFiles } from './archive-files.ts'
import { parseLocation } from './location.ts'
import { type OuterLocation, openDestination } from './open-location.ts'

const signal = AbortSignal.timeout(30_000)
const bytes = Buffer.from('content')
const digest = parseDigest('digest', `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
const blob = { mediaType: 'application/octet-stream', digest, size: bytes.length }

describe('a directory to copy to', () => {
  let directory = ''
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-claim-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  const write = async (location: string) => {
    await using destination = await openDestination(parseLocation(location) as OuterLocation, {})
    const content = async function* () {
      yield bytes
    }
    await destination.writeBlob(blob, content(), signal)
  }

  for (const transport of ['oci', 'dir']) {
    it(`${transport}: is made with its parents, taken when empty or of images, and left alone when it holds something else`, async () => {
      const made = join(directory, transport, 'with', 'parents')
      await write(`${transport}:${made}`)
      await write(`${transport}:${made}`)
      const empty = join(directory, transport, 'empty')
      mkdirSync(empty)
      await write(`${transport}:${empty}`)
      const mine = join(directory, transport, 'mine')
      mkdirSync(mine)
      writeFileSync(join(mine, 'index.json'), 'mine')
      await assert.rejects(
        write(`${transport}:${mine}`),
        (err) => codeOf(err) === 'failed_precondition' && /not empty/.test(String(err)),
      )
      assert.deepEqual(readdirSync(mine), ['index.json'])
      assert.equal(readFileSync(join(mine, 'index.json'), 'utf8'), 'mine')
    })

    it(`${transport}: fails where no directory can be made`, { timeout: 20_000 }, async () => {
      await assert.rejects(write(`${transport}:/proc/nothing/here`), /ENOENT/)
    })
  }

  it('an archive that cannot be read is named, with what it is', async () => {
    for (const [name, content, why] of [
      ['x.xz', Buffer.from('fd377a585a000004', 'hex'), /compressed with xz/],
      ['x.bz2', Buffer.from('BZh91AY&SY'), /compressed with bzip2/],
      ['x.json', Buffer.alloc(1024, '{'), /checksum/],
    ] as const) {
      writeFileSync(join(directory, name), content)
      await assert.rejects(archiveFiles(join(directory, name), signal), (err: Error) => {
        assert.match(err.message, new RegExp(`read archive .*/${name}`))
        assert.match(String(err.cause), why)
        assert.doesNotMatch(String(err.cause), /layer/)
        return codeOf(err) === 'invalid_argument'
      })
    }
  })
})
