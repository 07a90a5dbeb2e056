// The part of Go templates that scripts around crictl use: paths, `json`, `index` with a key; no control structures.
import type { JsonValue } from '@coracle/cri-api/json'
import { UsageError } from '../usage-error.ts'

/** @throws UsageError for an expression beyond `{{.a.b}}`, `{{json .a.b}}` and `{{index .a.b "key"}}`. */
export function renderTemplate(template: string, value: JsonValue): string {
  if (template === '') throw new UsageError('-o go-template needs --template')
  return template.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/g, (_, expression: string) => evaluate(expression, value))
}

function evaluate(expression: string, value: JsonValue): string {
  const path = /^(json\s+)?(\.[\w.-]*)$/.exec(expression)
  if (path) {
    const found = lookUp(value, path[2] ?? '.')
    return path[1] ? JSON.stringify(found ?? null) : plain(found)
  }
  const index = /^index\s+(\.[\w.-]*)\s+"([^"]*)"$/.exec(expression)
  if (index) return plain(step(lookUp(value, index[1] ?? '.'), index[2] ?? ''))
  throw new UsageError(
    `template expression {{${expression}}} is not supported: only {{.path}}, {{json .path}} and {{index .path "key"}} are`,
  )
}

function lookUp(value: JsonValue, path: string): JsonValue | undefined {
  return path
    .split('.')
    .filter((name) => name !== '')
    .reduce<JsonValue | undefined>(step, value)
}

function step(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Array.isArray(value)) return value[Number(name)]
  return Object.hasOwn(value, name) ? value[name] : undefined
}

function plain(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '<no value>'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
