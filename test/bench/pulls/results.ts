// Samples of a run as a file, and back: what was measured in several goes becomes one table and one plot.
import { readFileSync } from 'node:fs'
import type { Cost } from './meter.ts'
import type { Row } from './report.ts'

export interface Results {
  /** When the last of it was measured, ISO 8601. */
  readonly time: string
  /** Share of the machine that was busy with other work before, 0 to 1; the most of all runs. */
  readonly others: number
  readonly rows: readonly Row[]
}

interface Document {
  readonly time: string
  readonly others: number
  readonly rows: readonly { readonly name: string; readonly goal?: number; readonly samples: Record<string, readonly Cost[]> }[]
}

export function formatResults({ time, others, rows }: Results): string {
  const plain = rows.map(({ name, goal, samples }) => ({ name, goal, samples: Object.fromEntries(samples) }))
  return `${JSON.stringify({ time, others, rows: plain }, null, 1)}\n`
}

/** A row of a later file replaces the one of the same name. */
export function readResults(files: readonly string[]): Results {
  const rows = new Map<string, Row>()
  let [time, others] = ['', 0]
  for (const file of files) {
    // What formatResults wrote.
    const document = JSON.parse(readFileSync(file, 'utf8')) as Document
    for (const row of document.rows) rows.set(row.name, { ...row, samples: new Map(Object.entries(row.samples)) })
    if (document.time > time) time = document.time
    others = Math.max(others, document.others)
  }
  return { time, others, rows: [...rows.values()] }
}

export const captionOf = ({ time, others }: Omit<Results, 'rows'>): string =>
  `Medians, ${time.slice(0, 10)}; the line in a bar goes from the least to the most; other work took ${(others * 100).toFixed(0)} % of the machine. npm run bench:pulls`
