import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

/** What is no acceptable tar archive: refused as a whole. */
export const archiveError = (why: string, cause?: unknown): CodedError =>
  new CodedError('invalid_argument', `archive is refused: ${why}`, cause === undefined ? undefined : { cause })

/** A path of an archive for a message: its bytes read as Latin-1 where they are no UTF-8, escaped. */
export function show(path: Uint8Array): string {
  const text = Buffer.from(path).toString('utf8')
  return quote(text.includes('\ufffd') ? Buffer.from(path).toString('latin1') : text)
}
