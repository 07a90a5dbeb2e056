const GAP = '   '

/** Rows under upper-case headings, columns as wide as their widest cell, three spaces apart. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) => Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const renderRow = (row: readonly string[]) =>
    widths
      .map((width, column) => (row[column] ?? '').padEnd(width))
      .join(GAP)
      .trimEnd()
  return `${[headings, ...rows].map(renderRow).join('\n')}\n`
}

/** Ids as tables show them: without algorithm, 13 characters. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 13)
}

/** A map under its heading, one indented line a key; nothing when it is empty. */
export function mapLines(heading: string, map: Readonly<Record<string, string>>): string[] {
  const keys = Object.keys(map).sort()
  return keys.length === 0 ? [] : [`${heading}:`, ...keys.map((key) => `\t${key} -> ${map[key]}`)]
}
