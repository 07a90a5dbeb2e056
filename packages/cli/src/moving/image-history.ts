// What an image's config says of how it was made, with the sizes of its layers.
import { isObject, parseJson } from '@coracle/base/parse-json'
import { Moving } from '@coracle/cri-api/moving'
import {
  type Document,
  forPlatform,
  openSource,
  parseDocument,
  parseLocation,
  rawDocument,
  readBlob,
} from '@coracle/image/moving'
import { maxConfigBytes } from '@coracle/oci-spec/image-config'
import { listAt } from '@coracle/oci-spec/json-fields'
import { hostPlatform } from '@coracle/oci-spec/platform'
import type { Context } from '../context.ts'

export type HistoryEntry = {
  readonly created: string
  readonly createdBy: string
  /** Compressed; 0 for a step that made no layer. */
  readonly sizeBytes: number
  readonly comment: string
}

const maxEntries = 10_000

/** Newest first. */
export async function imageHistory(context: Context, name: string): Promise<readonly HistoryEntry[]> {
  const { config, manifest } = await documentsOf(context, name)
  const parsed = parseJson('image config', config, { maxBytes: maxConfigBytes, maxDepth: 32 })
  const steps = listAt('history', (isObject(parsed) ? parsed['history'] : undefined) ?? [], maxEntries)
  const sizes = manifest.layers.map(({ size }) => size)
  const told = steps.map((step) => {
    const entry = isObject(step) ? step : {}
    const text = (field: string) => (typeof entry[field] === 'string' ? printable(entry[field]) : '')
    const sizeBytes = entry['empty_layer'] === true ? 0 : (sizes.shift() ?? 0)
    return { created: text('created'), createdBy: text('created_by'), sizeBytes, comment: text('comment') }
  })
  // Some writers leave the history out: the layers are there all the same.
  const untold = sizes.map((sizeBytes) => ({ created: '', createdBy: '', sizeBytes, comment: '' }))
  return [...told, ...untold].reverse()
}

async function documentsOf(context: Context, name: string) {
  const signal = context.interruption()
  const location = parseLocation(name)
  if (location.kind === 'store') {
    const image = await context.imageClient.service(Moving).readImage({ image: location.name }, { signal })
    return {
      config: Buffer.from(image.config),
      manifest: manifestIn(parseDocument(rawDocument(Buffer.from(image.manifest), undefined))),
    }
  }
  await using source = await openSource(location, {}, signal)
  const top = await forPlatform(source, await source.top(signal), { platform: hostPlatform(), signal })
  const manifest = manifestIn(parseDocument(top))
  return { config: await readBlob(source, manifest.config, { maxBytes: maxConfigBytes, signal }), manifest }
}

function manifestIn(document: Document): Extract<Document, { kind: 'manifest' }> {
  // Neither the store nor forPlatform gives an index.
  if (document.kind === 'index') throw new Error('an index was found in place of a manifest')
  return document
}

// Hostile text: nothing of it may move the cursor.
const printable = (text: string): string => text.slice(0, 4096).replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
