// The log format of the CRI: `TIMESTAMP STREAM TAGS MESSAGE`, TAGS beginning with P (more of this line follows) or F (its end).

export type LogEntry = {
  readonly timestamp: string
  readonly stream: 'stdout' | 'stderr'
  /** More of the same line follows in another entry. */
  readonly partial: boolean
  readonly message: Buffer
}

const NEWLINE = 0x0a
const SPACE = 0x20

/** One line of the file without its newline. What does not follow the format is passed on whole: better seen than lost. */
export function parseLogLine(line: Buffer): LogEntry {
  const afterTimestamp = line.indexOf(SPACE)
  const afterStream = line.indexOf(SPACE, afterTimestamp + 1)
  const afterTags = line.indexOf(SPACE, afterStream + 1)
  const tagsEnd = afterTags < 0 ? line.length : afterTags
  const stream = line.toString('latin1', afterTimestamp + 1, afterStream)
  const [tag] = line.toString('latin1', afterStream + 1, tagsEnd).split(':')
  if (afterTimestamp < 0 || afterStream < 0 || (stream !== 'stdout' && stream !== 'stderr') || (tag !== 'P' && tag !== 'F'))
    return { timestamp: '', stream: 'stdout', partial: false, message: line }
  return {
    timestamp: line.toString('latin1', 0, afterTimestamp),
    stream,
    partial: tag === 'P',
    message: line.subarray(tagsEnd + 1),
  }
}

/** Cuts chunks into entries; a line may come in any number of pieces. */
export class LogSplitter {
  #rest: Buffer[] = [];

  *push(chunk: Buffer): Generator<LogEntry> {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end)
      const line = this.#rest.length === 0 ? piece : Buffer.concat([...this.#rest, piece])
      this.#rest = []
      start = end + 1
      yield parseLogLine(line)
    }
    // Copied: the caller reads into the same buffer again.
    if (start < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(start)))
  }

  /** What stands after the last newline, once nothing more can come. */
  *finish(): Generator<LogEntry> {
    if (this.#rest.length > 0) yield parseLogLine(Buffer.concat(this.#rest))
    this.#rest = []
  }
}
