// What the three inspect commands share: `{status, info}` in the wanted form, for one thing or several.
import type { JsonObject, JsonValue } from '@coracle/cri-api/json'
import type { Screen } from './screen.ts'
import { parseInfo, printStructured } from './structured.ts'
import { renderTemplate } from './template.ts'

export type Inspected = {
  readonly status: JsonValue
  readonly info: Readonly<Record<string, string>>
  readonly rows: readonly (readonly [string, string])[]
}

export type InspectOptions = {
  readonly output: string | undefined
  readonly template: string | undefined
  readonly quiet?: boolean
}

export async function printInspected(out: Screen, inspected: readonly Inspected[], options: InspectOptions): Promise<void> {
  if (options.output === 'table') {
    for (const { rows } of inspected) out.line(`${rows.map(([key, value]) => `${key}: ${value}`).join('\n')}\n`)
    return
  }
  const values = inspected.map(({ status, info }): JsonObject => ({ status, ...(options.quiet ? {} : parseInfo(info)) }))
  if (options.output === 'go-template' || options.template !== undefined) {
    for (const value of values) out.line(renderTemplate(options.template ?? '', value))
    return
  }
  await printStructured(out, options.output ?? 'json', values.length === 1 ? (values[0] ?? null) : values)
}

/** The status with its nanosecond timestamps as dates, as people and crictl's readers expect. Zero becomes the zero time: "not yet". */
export function withDates(status: JsonValue, fields: readonly string[]): JsonObject {
  if (typeof status !== 'object' || status === null || Array.isArray(status)) return {}
  const dated: JsonObject = { ...status }
  for (const field of fields) dated[field] = timestamp(BigInt(String(status[field] ?? 0)))
  return dated
}

/** RFC 3339 with nanoseconds, trailing zeros left out; the zero time for 0, as Go prints it. */
export function timestamp(ns: bigint): string {
  if (ns <= 0n) return '0001-01-01T00:00:00Z'
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19)
  const fraction = (ns % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '')
  return `${seconds}${fraction ? `.${fraction}` : ''}Z`
}
