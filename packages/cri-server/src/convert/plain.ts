// Messages as the peers show them in verbose information, which scripts and agents on nodes read.
import type { DescField, DescMessage, MessageShape } from '@bufbuild/protobuf'

/**
 * A message with the field names of the proto file, fields with default values left out, enums as numbers, 64-bit numbers as numbers
 * (as text where JSON would lose digits), bytes as text.
 */
export function plain<D extends DescMessage>(schema: D, message: MessageShape<D>): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  const values = message as unknown as { readonly [field: string]: unknown }
  for (const field of schema.fields) {
    const value = values[field.localName]
    if (!isDefault(value)) shown[field.name] = plainValue(field, value)
  }
  return shown
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === 0n || value === false) return true
  if (value instanceof Uint8Array || Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && value !== null && !('$typeName' in value) && Object.keys(value).length === 0
}

function plainValue(field: DescField, value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((item: unknown) =>
      field.message === undefined ? scalar(item) : plain(field.message, item as MessageShape<DescMessage>),
    )
  // Maps of CRI are of texts; their keys are data.
  if (field.fieldKind === 'message') return plain(field.message, value as MessageShape<DescMessage>)
  return scalar(value)
}

function scalar(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  if (typeof value !== 'bigint') return value
  return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
}
