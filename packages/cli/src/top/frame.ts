// One picture of `top`, made to the size of the terminal.
import type { Paint } from '../print/screen.ts'
import { renderTable } from '../print/table.ts'
import { cells, headings, type Row, type SortKey, sorted, type View } from './rows.ts'

export interface Picture {
  readonly rows: readonly Row[]
  readonly view: View
  readonly sort: SortKey
  readonly seconds: number
  /** In place of rows that cannot be had. */
  readonly problem?: string | undefined
}

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** The table alone, for `--once` and for what is no terminal. */
export const plainTable = ({ rows, view, sort }: Picture): string =>
  renderTable(
    headings[view],
    sorted(rows, sort).map((row) => cells(view, row).map(printable)),
  )

/** Exactly as many lines as fit, each no wider than the terminal. */
export function frame(picture: Picture, size: Size, paint: (paint: Paint, text: string) => string): string[] {
  const { rows, view, sort, seconds, problem } = picture
  const cpu = rows.reduce((sum, { cpuPercent = 0 }) => sum + cpuPercent, 0)
  const head = `${rows.length} ${view}, CPU ${cpu.toFixed(1)} %, every ${seconds} s, by ${sort}`
  const keys = 'c cpu  m mem  d disk  n name  t net  p pods/containers  + - pace  q quit'
  const [heading = '', ...lines] = plainTable(picture).trimEnd().split('\n')
  const fits = Math.max(size.rows - 3, 0)
  const hidden = lines.length - fits
  const body = problem === undefined ? lines.slice(0, fits) : [problem]
  const last = hidden > 0 && problem === undefined ? `${keys}  (${hidden} more)` : keys
  const cut = (line: string) => printable(line).slice(0, size.columns)
  const filled = [...body, ...Array.from({ length: Math.max(fits - body.length, 0) }, () => '')]
  return [cut(head), paint('bold', cut(heading)), ...filled.map(cut), paint('dim', cut(last))].slice(0, size.rows)
}

/** Names come from others: what would move the cursor is not shown. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '·')
