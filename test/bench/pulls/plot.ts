// The medians as bars, in an SVG that needs nothing beside it: three columns of figures, a block of bars for each image.
import { type Measure, measures, medianOf, type Row, samplesOf } from './report.ts'

const layout = { label: 232, column: 210, bar: 13, gap: 16, top: 62, figure: 64, margin: 14 } as const

// Its own background, so that the words are read on any page; which of the two, the reader's system says.
const style = `
    .ground { fill: #ffffff } .words { fill: #24292f } .faint { fill: #6e7781 } .goal { stroke: #1a7f37 } .range { stroke: #24292f }
    .containerd { fill: #8c959f } .podman { fill: #b083d9 } .coracle { fill: #d2691e }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117 } .words { fill: #e6edf3 } .faint { fill: #8b949e } .goal { stroke: #3fb950 } .range { stroke: #e6edf3 }
      .containerd { fill: #6e7681 } .podman { fill: #8957b5 } .coracle { fill: #e8813a }
    }`

/** `names`: who pulled. A bar's length is its share of the longest one of its block; the line in it goes from the least to the most. */
export function plot(rows: readonly Row[], names: readonly string[], caption: string): string {
  const { label, column, bar, gap, top, margin } = layout
  const shown = rows.filter((row) => names.some((name) => medianOf(row, name, seconds) !== undefined))
  const width = label + column * measures.length + margin
  const height = top + shown.length * (bar * names.length + gap) + 18
  const parts: string[] = [
    `<rect class="ground" width="${width}" height="${height}" rx="6"/>`,
    ...names.map((name, i) => legend(name, margin + i * 100)),
    goalLegend(margin + names.length * 100),
    ...measures.map(({ title }, i) => text(label + i * column, 50, title, 'words', 'bold')),
  ]
  for (const [i, row] of shown.entries()) {
    const y = top + i * (bar * names.length + gap)
    parts.push(text(margin, y + (bar * names.length) / 2 + 4, row.name, 'words'))
    for (const [at, measure] of measures.entries()) parts.push(...block({ row, names, measure, x: label + at * column, y }))
  }
  parts.push(text(margin, height - 8, caption, 'faint'))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11" role="img">`,
    `  <title>${escaped(caption)}</title>`,
    `  <style>${style}\n  </style>`,
    ...parts.map((part) => `  ${part}`),
    '</svg>',
    '',
  ].join('\n')
}

const seconds = measures[0]?.of ?? (() => Number.NaN)

interface Block {
  readonly row: Row
  readonly names: readonly string[]
  readonly measure: Measure
  readonly x: number
  readonly y: number
}

function block({ row, names, measure, x, y }: Block): string[] {
  const { column, bar, figure, gap } = layout
  const samples = names.map((name) => samplesOf(row, name).map(measure.of))
  const most = Math.max(...samples.flat())
  const scale = (value: number): number => x + ((column - figure) * value) / most
  const bars = names.flatMap((name, i) => {
    const value = medianOf(row, name, measure.of)
    const own = samples[i] ?? []
    if (value === undefined) return []
    const [top, middle] = [y + i * bar, y + i * bar + bar / 2 - 1]
    const range = `<line class="range" x1="${px(scale(Math.min(...own)))}" x2="${px(scale(Math.max(...own)))}" y1="${middle}" y2="${middle}" stroke-opacity="0.5"/>`
    return [
      `<rect class="${name}" x="${x}" y="${top}" width="${px(Math.max(1, scale(value) - x))}" height="${bar - 2}"/>`,
      ...(own.length > 1 ? [range] : []),
      text(scale(Math.max(...own)) + 5, top + bar - 4, `${figureOf(value)} ${measure.unit}`, 'words'),
    ]
  })
  const theirs = medianOf(row, 'containerd', measure.of)
  const goal = measure.goal(row)
  if (goal === undefined || theirs === undefined) return bars
  const at = px(scale(goal * theirs))
  return [...bars, `<line class="goal" x1="${at}" x2="${at}" y1="${y - 3}" y2="${y + names.length * bar + gap / 4}"/>`]
}

const legend = (name: string, x: number): string =>
  `<rect class="${name}" x="${x}" y="14" width="11" height="11"/>${text(x + 16, 24, name, 'words')}`

const goalLegend = (x: number): string =>
  `<line class="goal" x1="${x + 5}" x2="${x + 5}" y1="12" y2="27"/>${text(x + 12, 24, 'the goal for coracle, of containerd’s median', 'words')}`

const px = (value: number): string => value.toFixed(1)

const figureOf = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))

const text = (x: number, y: number, words: string, kind: 'words' | 'faint', weight = 'normal'): string =>
  `<text class="${kind}" x="${px(x)}" y="${px(y)}"${weight === 'normal' ? '' : ` font-weight="${weight}"`}>${escaped(words)}</text>`

const escaped = (words: string): string => words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
