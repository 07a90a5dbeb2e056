import type { Finding } from '@coracle/host'
import type { Screen } from '../print/screen.ts'

const MARKS = { ok: ['green', 'ok'], warning: ['yellow', 'warning'], missing: ['red', 'missing'] } as const

/** A line for each finding, what mends it below, and a count at the end. */
export function renderFindings(findings: readonly Finding[], screen: Screen): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, state, detail, remedy }) => {
    const [paint, word] = MARKS[state]
    const line = `${screen.paint(paint, word.padEnd(7))}  ${check.padEnd(width)}  ${detail}`
    return state === 'ok' || !remedy ? [line] : [line, `${' '.repeat(7 + 2 + width)}  ${screen.paint('dim', '→')} ${remedy}`]
  })
  const count = (wanted: Finding['state']) => findings.filter(({ state }) => state === wanted).length
  return `${[...lines, '', `${count('ok')} ok, ${count('warning')} warnings, ${count('missing')} missing`].join('\n')}\n`
}
