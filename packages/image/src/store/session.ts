// Whether the last run ended cleanly: a file beside the index says who has the store open, and since when what was written could
// have been lost with the power.
import { readFileSync } from 'node:fs'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { isErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'

const log = logger('image')

interface SessionFile {
  readonly bootId: string
  /** What was written later may have been lost if this boot ends without a sync. Milliseconds after 1970. */
  readonly sinceMs: number
  readonly clean: boolean
  /** Layers written since may have lost something and were not looked at yet. */
  readonly unverified: boolean
}

export interface Session {
  /** How the run before this one ended. `killed`: the machine went on, so nothing that was written is lost. */
  readonly lastEnd: 'clean' | 'killed' | 'power-lost' | 'first'
  /** Layers recorded at or after this time are to be checked before they are used; undefined: none. */
  readonly suspectSinceMs: number | undefined
  /** All suspects were checked. */
  verified(): void
  /** The clean end. */
  end(): void
}

/** Reads the mark of the run before, and sets that of this one. */
export function openSession(path: string, bootId: string): Session {
  const before = read(path)
  const lastEnd = before === undefined ? 'first' : before.clean ? 'clean' : before.bootId === bootId ? 'killed' : 'power-lost'
  let unverified = before !== undefined && (lastEnd === 'power-lost' || before.unverified)
  // In the same boot what an earlier run wrote is as young as what we write.
  let sinceMs = before !== undefined && (unverified || before.bootId === bootId) ? before.sinceMs : Date.now()
  const write = (clean: boolean) => {
    try {
      writeFileAtomic(path, JSON.stringify({ bootId, sinceMs, clean, unverified } satisfies SessionFile), { durable: true })
    } catch (err) {
      // On a full disk the old mark stays: the next start looks at more than it would have to.
      log.warn('the mark of a clean end was not written', { path, error: explain(err) })
    }
  }
  write(false)
  return {
    lastEnd,
    suspectSinceMs: unverified ? sinceMs : undefined,
    verified() {
      unverified = false
      sinceMs = Date.now()
      write(false)
    },
    end: () => write(true),
  }
}

function read(path: string): SessionFile | undefined {
  try {
    const { bootId, sinceMs, clean, unverified } = JSON.parse(readFileSync(path, 'utf8')) as SessionFile
    return { bootId, sinceMs: Number.isFinite(sinceMs) ? sinceMs : 0, clean: clean === true, unverified: unverified === true }
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined
    // Half a file is what a power loss leaves.
    return { bootId: '', sinceMs: 0, clean: false, unverified: true }
  }
}
