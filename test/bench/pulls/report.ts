// What was measured, as a table.
import { median } from '../statistics.ts'
import type { Cost } from './meter.ts'

export interface Row {
  readonly name: string
  readonly goal?: number
  readonly samples: ReadonlyMap<string, readonly Cost[]>
}

export interface Measure {
  readonly title: string
  readonly unit: string
  readonly of: (cost: Cost) => number
  /** Coracle's to containerd's that we mean to reach. */
  readonly goal: (row: Row) => number | undefined
}

export const measures: readonly Measure[] = [
  { title: 'wall time', unit: 's', of: ({ seconds }) => seconds, goal: (row) => row.goal },
  { title: 'CPU time', unit: 's', of: ({ cpuSeconds }) => cpuSeconds, goal: () => 1 },
  { title: 'peak memory', unit: 'MB', of: ({ peakMb }) => peakMb, goal: () => undefined },
]

export const samplesOf = (row: Row, name: string): readonly Cost[] => row.samples.get(name) ?? []

export const medianOf = (row: Row, name: string, of: (cost: Cost) => number): number | undefined => {
  const samples = samplesOf(row, name)
  return samples.length === 0 ? undefined : median(samples.map(of))
}

/** Medians. The ratio is of Coracle's wall and CPU time to containerd's. */
export function table(rows: readonly Row[], names: readonly string[]): string {
  const head = [
    '',
    ...names.flatMap((name) => measures.map(({ title, unit }) => `${name} ${title.split(' ')[0]} ${unit}`)),
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
