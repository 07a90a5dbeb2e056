// The keys that leave a session without ending what runs in it.
import { UsageError } from '../usage-error.ts'

export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q'

/**
 * `ctrl-p,ctrl-q`, `ctrl-x,q`, … as bytes; an empty text is no keys at all.
 * @throws UsageError naming the key.
 */
export function parseDetachKeys(text: string): Buffer {
  if (text === '') return Buffer.alloc(0)
  return Buffer.from(
    text.split(',').map((key) => {
      const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1]
      if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f
      if (/^[!-~]$/.test(key)) return key.charCodeAt(0)
      throw new UsageError(`detach key "${key}"; expected a character or ctrl- with one, such as ${DEFAULT_DETACH_KEYS}`)
    }),
  )
}

/** Looks for the keys in what is typed. The start of the sequence is held back until it is clear that it is none. */
export class DetachWatch {
  readonly #keys: Buffer
  #held = 0

  constructor(keys: Buffer) {
    this.#keys = keys
  }

  /** What is to be passed on; `detached` when the sequence is complete (what follows it is dropped). */
  feed(typed: Buffer): { readonly pass: Buffer; readonly detached: boolean } {
    if (this.#keys.length === 0) return { pass: typed, detached: false }
    const pass: number[] = []
    for (const byte of typed) {
      while (this.#held > 0 && byte !== this.#keys[this.#held]) this.#giveBack(pass)
      if (byte !== this.#keys[this.#held]) pass.push(byte)
      else this.#held++
      if (this.#held === this.#keys.length) return { pass: Buffer.from(pass), detached: true }
    }
    return { pass: Buffer.from(pass), detached: false }
  }

  /** The held bytes are no sequence from here: lets go of as many as the rest could still be the start of one. */
  #giveBack(pass: number[]): void {
    const held = this.#keys.subarray(0, this.#held)
    let keep = this.#held - 1
    while (keep > 0 && !held.subarray(this.#held - keep).equals(this.#keys.subarray(0, keep))) keep--
    pass.push(...held.subarray(0, this.#held - keep))
    this.#held = keep
  }
}
