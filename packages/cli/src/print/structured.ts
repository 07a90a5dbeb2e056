// `-o json` and `-o yaml`, and the verbose info maps of status messages.
import { type DescMessage, type JsonValue, type MessageShape, toJson } from '@coracle/cri-api/json'
import type { Screen } from './screen.ts'

/** The message as JSON with its default values present, as Kubernetes tools expect. */
export function messageToJson<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true })
}

export async function printStructured(out: Screen, format: 'json' | 'yaml' | string, value: JsonValue): Promise<void> {
  if (format !== 'yaml') {
    out.line(JSON.stringify(value, null, 2))
    return
  }
  const { stringify } = await import('yaml')
  out.write(stringify(value))
}

/** The values of a verbose info map are themselves JSON where the server could; text otherwise. */
export function parseInfo(info: Readonly<Record<string, string>>): Record<string, JsonValue> {
  const parsed: Record<string, JsonValue> = {}
  for (const key of Object.keys(info).sort()) {
    const text = info[key] ?? ''
    try {
      parsed[key] = JSON.parse(text)
    } catch {
      parsed[key] = text
    }
  }
  return parsed
}
