// The image config blob (image-spec config.md), read strictly: every string in it is hostile, a wrong type is an error with its path.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import { parseDigest } from './digest.ts'
import type { ImageConfig, Platform } from './image.ts'
import { isAbsent, listAt, objectAt, optionalString, refuseDuplicateKeys, stringAt, stringsAt } from './json-fields.ts'

/** Largest config, in bytes. */
export const maxConfigBytes = 4 * 1024 * 1024
const maxElements = 100_000
const maxLayers = 256

const keyFields = new Set(['config', 'rootfs', 'diff_ids', 'type', 'os', 'architecture'])

/** Parses a config blob. Throws `invalid_argument` that names the field. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const json = parseJson('image config', bytes, { maxBytes: maxConfigBytes, maxDepth: 32 })
  refuseDuplicateKeys('image config', Buffer.from(bytes).toString('utf8'), keyFields)
  const document = objectAt('image config', json)
  const run = isAbsent(document['config']) ? {} : objectAt('config', document['config'])
  const created = optionalString('created', document['created'])
  return Object.freeze({
    platform: platformOf(document),
    ...(created === undefined ? {} : { created }),
    user: optionalString('config.User', run['User']) ?? '',
    env: Object.freeze(stringsAt('config.Env', run['Env'], maxElements)),
    entrypoint: Object.freeze(stringsAt('config.Entrypoint', run['Entrypoint'], maxElements)),
    cmd: Object.freeze(stringsAt('config.Cmd', run['Cmd'], maxElements)),
    workingDir: optionalString('config.WorkingDir', run['WorkingDir']) ?? '',
    stopSignal: optionalString('config.StopSignal', run['StopSignal']) ?? '',
    volumes: Object.freeze(isAbsent(run['Volumes']) ? [] : Object.keys(objectAt('config.Volumes', run['Volumes']))),
    labels: labelsOf(run['Labels']),
    diffIds: Object.freeze(diffIdsOf(document['rootfs'])),
  })
}

function platformOf(document: { readonly [key: string]: unknown }): Platform {
  const variant = optionalString('variant', document['variant'])
  return Object.freeze({
    // Old writers leave these out: what they mean is what ran them.
    os: optionalString('os', document['os']) || 'linux',
    architecture: optionalString('architecture', document['architecture']) ?? '',
    ...(variant === undefined || variant === '' ? {} : { variant }),
  })
}

function labelsOf(value: unknown): ReadonlyMap<string, string> {
  if (isAbsent(value)) return new Map()
  const labels = objectAt('config.Labels', value)
  return new Map(Object.keys(labels).map((key) => [key, stringAt(`config.Labels[${quote(key)}]`, labels[key])]))
}

function diffIdsOf(value: unknown) {
  const rootfs = objectAt('rootfs', value)
  if (rootfs['type'] !== 'layers') throw invalid(`rootfs.type must be "layers", not ${quote(String(rootfs['type']))}`)
  if (isAbsent(rootfs['diff_ids'])) return []
  return listAt('rootfs.diff_ids', rootfs['diff_ids'], maxLayers).map((id, i) => parseDigest(`rootfs.diff_ids[${i}]`, id))
}
