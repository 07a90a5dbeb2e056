import type { Pressure, PressureTimes } from './door.ts'

const line = (kind: string): RegExp => new RegExp(`^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)`, 'm')
const someLine = line('some')
const fullLine = line('full')

/** A pressure file (Documentation/accounting/psi.rst): the total there is in microseconds. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  if (text === undefined || !text.startsWith('some')) return undefined
  return { some: times(someLine.exec(text)), full: times(fullLine.exec(text)) }
}

function times(match: RegExpExecArray | null): PressureTimes {
  const number = (index: number) => Number(match?.[index] ?? 0)
  return { avg10: number(1), avg60: number(2), avg300: number(3), totalNs: number(4) * 1000 }
}
