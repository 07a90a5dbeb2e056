// Keeps what must not be seen out of messages, also when a registry sends it back.

export class Secrets {
  readonly #values = new Set<string>()

  add(...values: (string | undefined)[]): void {
    // Shorter ones would hide half of every message.
    for (const value of values) if (value !== undefined && value.length >= 4) this.#values.add(value)
  }

  /** `text` without any secret known, at most 256 characters, control characters escaped. */
  redact(text: string): string {
    let clean = text
    for (const value of this.#values) clean = clean.replaceAll(value, '***')
    clean = clean.replace(/(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}/gi, '$1 ***')
    return JSON.stringify(clean.length > 256 ? `${clean.slice(0, 256)}…` : clean).slice(1, -1)
  }
}
