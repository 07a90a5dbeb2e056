// Keeps what must not be seen out of messages, also when a registry sends it back.

export class Secrets {
  readonly #values = new Set<string>()

  add(...values: (string | undefined)[]): void {
    // Shorter ones would hide half of every message.
    for (const value of values)
      if (value !== undefined && value.length >= 4) for (const form of formsOf(value)) this.#values.add(form)
  }

  /** `text` without any secret known, at most 256 characters, control characters escaped. */
  redact(text: string): string {
    let clean = text
    // The longest first: one may begin another.
    for (const value of [...this.#values].sort((a, b) => b.length - a.length)) clean = clean.replaceAll(value, '***')
    clean = clean.replace(/(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}/gi, '$1 ***')
    return JSON.stringify(clean.length > 256 ? `${clean.slice(0, 256)}…` : clean).slice(1, -1)
  }
}

/** As it is, and as it may come back from what was sent: in a form, in a URL, in JSON. */
const formsOf = (value: string): readonly string[] => [
  value,
  encodeURIComponent(value),
  new URLSearchParams([['', value]]).toString().slice(1),
  JSON.stringify(value).slice(1, -1),
]
