// What was measured, as a table and as a plot.
import { median } from '../statistics.ts'
import type { Cost } from './meter.ts'

export interface Row {
  readonly name: string
  readonly goal?: number
  readonly samples: ReadonlyMap<string, readonly Cost[]>
}

const measures: readonly { readonly title: string; readonly of: (cost: Cost) => number }[] = [
  { title: 'wall s', of: ({ seconds }) => seconds },
  { title: 'CPU s', of: ({ cpuSeconds }) => cpuSeconds },
  { title: 'peak MB', of: ({ peakMb }) => peakMb },
]

const medianOf = (row: Row, name: string, of: (cost: Cost) => number): number | undefined => {
  const samples = row.samples.get(name)
  return samples === undefined || samples.length === 0 ? undefined : median(samples.map(of))
}

/** Medians. The ratio is of Coracle's wall and CPU time to containerd's. */
export function table(rows: readonly Row[], names: readonly string[]): string {
  const head = [
    '',
    ...names.flatMap((name) => measures.map(({ title }) => `${name} ${title}`)),
    'coracle daemon MB',
    'wall',
    'CPU',
  ]
  const lines = rows.map((row) => {
    const cells = names.flatMap((name) => measures.map(({ of }) => figure(medianOf(row, name, of))))
    const daemon = figure(medianOf(row, 'coracle', ({ daemonPeakMb }) => daemonPeakMb))
    return [
      row.name,
      ...cells,
      daemon,
      ratio(row, ({ seconds }) => seconds, row.goal),
      ratio(row, ({ cpuSeconds }) => cpuSeconds, 1),
    ]
  })
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...lines.map(line)].join('\n')
}

function ratio(row: Row, of: (cost: Cost) => number, goal: number | undefined): string {
  const [ours, theirs] = [medianOf(row, 'coracle', of), medianOf(row, 'containerd', of)]
  if (ours === undefined || theirs === undefined) return '–'
  const value = ours / theirs
  return goal === undefined ? value.toFixed(2) : `${value.toFixed(2)} ${value <= goal ? '✓' : '✗'} ≤ ${goal}`
}

function figure(value: number | undefined): string {
  if (value === undefined) return '–'
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

const colours: Readonly<Record<string, string>> = { containerd: '#8a8f98', podman: '#b59ad6', coracle: '#d2691e' }
const layout = { width: 720, left: 220, bar: 14, gap: 18, right: 70, top: 40 } as const

/** Bars of wall time; each row has a scale of its own, its slowest filling it. */
export function plot(rows: readonly Row[], names: readonly string[]): string {
  const { width, left, bar, gap, right, top } = layout
  const parts: string[] = []
  let y = top
  for (const row of rows) {
    const values = names.map((name) => ({ name, value: medianOf(row, name, ({ seconds }) => seconds) }))
    const most = Math.max(...values.map(({ value }) => value ?? 0))
    parts.push(text(8, y + (bar * names.length) / 2 + 4, row.name))
    for (const { name, value } of values) {
      if (value !== undefined) {
        const length = Math.max(1, ((width - left - right) * value) / most)
        parts.push(
          `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${bar - 2}" fill="${colours[name] ?? '#555'}"/>`,
        )
        parts.push(text(left + length + 6, y + bar - 4, `${figure(value)} s`))
      }
      y += bar
    }
    y += gap
  }
  const legend = names.map((name, i) => {
    const x = left + i * 120
    return `<rect x="${x}" y="12" width="12" height="12" fill="${colours[name] ?? '#555'}"/>${text(x + 18, 22, name)}`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12" fill="#777">`,
    ...[...legend, ...parts].map((part) => `  ${part}`),
    '</svg>',
    '',
  ].join('\n')
}

const text = (x: number, y: number, words: string): string =>
  `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}">${words.replaceAll('&', '&amp;')}</text>`
