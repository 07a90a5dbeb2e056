// One file of a CDI directory. It decides about devices and programs that run as root, so only root may have written it (hazards H-27).
import { readFileSync, statSync } from 'node:fs'
import { explain, invalid, precondition } from '@coracle/base/errors'
import { parseJson } from '@coracle/base/parse-json'
import { type CdiSpec, parseCdiSpec } from '@coracle/container-spec'
import { parse } from 'yaml'

/** Files of vendors with many devices have some hundred kilobytes. */
export const cdiMaxFileBytes = 4 * 1024 * 1024

export type CdiContent = { readonly spec: CdiSpec } | { readonly reason: string }

/** Never throws: what is wrong is told to who asks for a device. */
export function readCdiFile(path: string): CdiContent {
  try {
    return { spec: parseCdiSpec(path, decode(path, readTrusted(path))) }
  } catch (err) {
    return { reason: explain(err).replace(`${path}: `, '') }
  }
}

function readTrusted(path: string): Buffer {
  const stats = statSync(path)
  if (!stats.isFile()) throw precondition('not a regular file')
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) throw precondition(`owned by uid ${stats.uid}, not by root`)
  if ((stats.mode & 0o022) !== 0) throw precondition('can be written by others than its owner: chmod go-w it')
  if (stats.size > cdiMaxFileBytes) throw invalid(`${stats.size} bytes, more than the limit of ${cdiMaxFileBytes}`)
  return readFileSync(path)
}

function decode(path: string, text: Buffer): unknown {
  if (path.endsWith('.json')) return parseJson('the file', text, { maxBytes: cdiMaxFileBytes })
  try {
    // 1.1, as the other readers of these files: 0660 is octal there. Without its times, which make a number of a device called 1:20.
    return parse(text.toString('utf8'), {
      version: '1.1',
      customTags: (tags) => tags.filter((tag) => typeof tag === 'object' && !('format' in tag && tag.format === 'TIME')),
    })
  } catch (err) {
    throw invalid(`not valid YAML: ${explain(err).split('\n')[0]}`)
  }
}
