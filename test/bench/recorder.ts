// Samples by metric and target, and the table made of them.
import { median, quantile } from './statistics.ts'

export interface Metric {
  readonly name: string
  readonly unit: 'ms' | 's' | 'MB' | '%' | 'per s'
  /** The ratio to containerd that we mean to reach, by target. */
  readonly goals?: Readonly<Record<string, number>>
  readonly better?: 'lower' | 'higher'
  /** False: a difference, whose ratio to another says nothing. */
  readonly ratio?: false
}

export class Recorder {
  readonly #samples = new Map<string, { readonly metric: Metric; readonly byTarget: Map<string, number[]> }>()

  add(metric: Metric, target: string, value: number): void {
    const row = this.#samples.get(metric.name) ?? { metric, byTarget: new Map<string, number[]>() }
    this.#samples.set(metric.name, row)
    row.byTarget.set(target, [...(row.byTarget.get(target) ?? []), value])
  }

  /** Everything that was measured, in the order of its first sample. */
  targets(): readonly string[] {
    return [...new Set([...this.#samples.values()].flatMap(({ byTarget }) => [...byTarget.keys()]))]
  }

  toJson(): unknown {
    return [...this.#samples.values()].map(({ metric, byTarget }) => ({
      ...metric,
      targets: Object.fromEntries(
        [...byTarget].map(([name, samples]) => [name, { median: median(samples), p95: quantile(samples, 0.95), samples }]),
      ),
    }))
  }

  /** A Markdown table: median / p95 of each target, and the ratio of medians to the first target. */
  table(targets: readonly string[]): string {
    const [reference = '', ...others] = targets
    const header = ['', reference, ...others.flatMap((name) => [name, 'ratio'])]
    const rows = [...this.#samples.values()].map(({ metric, byTarget }) => {
      const base = byTarget.get(reference)
      const cells = others.flatMap((name) => {
        const samples = byTarget.get(name)
        return [cell(samples), ratio(metric, { name, samples, base })]
      })
      return [`${metric.name} (${metric.unit})`, cell(base), ...cells]
    })
    return layout([header, ...rows])
  }
}

function cell(samples: readonly number[] | undefined): string {
  if (samples === undefined || samples.length === 0) return '–'
  const middle = figure(median(samples))
  return samples.length < 5 ? middle : `${middle} / ${figure(quantile(samples, 0.95))}`
}

function ratio(
  metric: Metric,
  { name, samples, base }: { name: string; samples: readonly number[] | undefined; base: readonly number[] | undefined },
): string {
  if (samples === undefined || base === undefined || metric.ratio === false) return '–'
  const value = median(samples) / median(base)
  const goal = metric.goals?.[name]
  if (goal === undefined) return value.toFixed(2)
  const reached = metric.better === 'higher' ? value >= goal : value <= goal
  return `${value.toFixed(2)} ${reached ? '✓' : '✗'} ${metric.better === 'higher' ? '≥' : '≤'} ${goal}`
}

const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))

function layout(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    `| ${row.map((text, column) => (column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  const [header = [], ...body] = rows
  return [line(header), rule, ...body.map(line)].join('\n')
}
