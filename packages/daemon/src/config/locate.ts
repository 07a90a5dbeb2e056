/** The line (from 1) of a TOML text on which a key's assignment, or the header of its table, stands. 1 when it cannot be told. */
export function lineOf(text: string, path: readonly string[]): number {
  let table: string[] = []
  let best = 1
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[+\s*([^\]]+?)\s*\]+/.exec(line)
    if (header?.[1] !== undefined) {
      table = splitKey(header[1])
      if (isPrefix(table, path)) best = index + 1
      continue
    }
    const assignment = /^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\.|\s)+?)\s*=/.exec(line)
    if (assignment?.[1] === undefined) continue
    const full = [...table, ...splitKey(assignment[1])]
    if (full.length > table.length && isPrefix(full, path)) best = index + 1
    if (full.join('\0') === path.join('\0')) return index + 1
  }
  return best
}

const isPrefix = (prefix: readonly string[], path: readonly string[]) => prefix.every((part, i) => part === path[i])

function splitKey(key: string): string[] {
  return [...key.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}
