// passwd(5) and group(5) of an image: hostile bytes, parsed line by line.
import { CodedError } from '@coracle/base/errors'
import { maxId } from './numbers.ts'

export interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

export interface GroupEntry {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

const maxLineBytes = 64 * 1024

/** Numeric by shape. Undefined when it is no decimal number or too large. */
export function parseDecimalId(text: string): number | undefined {
  if (!/^[0-9]{1,20}$/.test(text)) return undefined
  const value = Number(text)
  return value <= maxId ? value : undefined
}

/** Lines of a file. Throws `invalid_argument` on a line over 64 KiB. */
function* linesOf(what: string, file: Buffer): Generator<string> {
  let start = 0
  while (start < file.length) {
    const newline = file.indexOf(0x0a, start)
    const end = newline < 0 ? file.length : newline
    if (end - start > maxLineBytes)
      throw new CodedError(
        'invalid_argument',
        `${what} of the image has a line of ${end - start} bytes: at most ${maxLineBytes} are read`,
      )
    yield file.toString('utf8', start, end).replace(/\r$/, '')
    start = end + 1
  }
}

/** The first entry that `matches`. Lines that are no entries (wrong fields, ids out of range) are passed over. */
export function findUser(passwd: Buffer | undefined, matches: (entry: PasswdEntry) => boolean): PasswdEntry | undefined {
  if (passwd === undefined) return undefined
  for (const line of linesOf('/etc/passwd', passwd)) {
    const fields = line.split(':')
    const [name, , uidText, gidText, , home] = fields
    const uid = parseDecimalId(uidText ?? '')
    const gid = parseDecimalId(gidText ?? '')
    if (name === undefined || name === '' || uid === undefined || gid === undefined) continue
    const entry = { name, uid, gid, home: home ?? '' }
    if (matches(entry)) return entry
  }
  return undefined
}

/** Every group entry, in order. */
export function* groupsOf(group: Buffer | undefined): Generator<GroupEntry> {
  if (group === undefined) return
  for (const line of linesOf('/etc/group', group)) {
    const [name, , gidText, members] = line.split(':')
    const gid = parseDecimalId(gidText ?? '')
    if (name === undefined || name === '' || gid === undefined) continue
    yield { name, gid, members: members === undefined || members === '' ? [] : members.split(',') }
  }
}
