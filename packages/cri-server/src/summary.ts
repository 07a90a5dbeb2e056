import type { Message } from '@bufbuild/protobuf'

/** What a log line says of a request: the ids and names it is about, never its secrets, environment or whole configuration. */
export function summarise(request: Message): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(request)) {
    if ((name === 'podSandboxId' || name === 'containerId') && typeof value === 'string') fields[name] = value.slice(0, 13)
    if (name === 'image' && typeof value === 'object' && value !== null && 'image' in value)
      fields['image'] = String(value.image).slice(0, 200)
    if (name === 'config' && typeof value === 'object' && value !== null && 'metadata' in value) {
      const metadata = value.metadata
      if (typeof metadata === 'object' && metadata !== null && 'name' in metadata)
        fields['name'] = String(metadata.name).slice(0, 200)
    }
  }
  return fields
}
