// WWW-Authenticate (RFC 9110 section 11.6.1): several challenges in one header, quoted strings with commas.

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/

/** Parses as far as the header makes sense; what does not is left out. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let rest = header.slice(0, 16_384)
  const take = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(rest)?.[0]
    if (found !== undefined) rest = rest.slice(found.length)
    return found
  }
  while (rest !== '') {
    take(/^[\s,]+/)
    const word = take(token)
    if (word === undefined) break
    take(/^[ \t]+/)
    const current = challenges.at(-1)
    if (rest.startsWith('=') && current !== undefined) {
      take(/^=[ \t]*/)
      const quoted = take(/^"(?:[^"\\]|\\.)*"/)
      const value = quoted === undefined ? (take(/^[^\s,]*/) ?? '') : quoted.slice(1, -1).replace(/\\(.)/g, '$1')
      current.parameters.set(word.toLowerCase(), value)
    } else challenges.push({ scheme: word.toLowerCase(), parameters: new Map() })
  }
  return challenges
}
