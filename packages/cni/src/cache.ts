// What ADD was given and what it answered, one file an attachment, so that DEL and CHECK work after a restart and with another configuration.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { isErrno } from '@coracle/base/errno'
import { explain, invalid } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import type { Attachment } from './cni.ts'
import { type NetworkConfigList, networkFromJson, networkToJson } from './conflist.ts'

const log = logger('cni')
const schema = 1
const maxEntryBytes = 4 * 1024 * 1024

export interface CacheEntry {
  readonly attachment: Attachment
  readonly network: NetworkConfigList
  readonly interfaceName: string
  /** `wanted` from before ADD until it succeeded: some plugins of the list may have run. */
  readonly state: 'wanted' | 'attached'
  /** The last result, in the network's version; of a failed ADD that of the last plugin that succeeded. */
  readonly result: JsonObject | undefined
}

export interface AttachmentCache {
  /** Undefined when there is none, or it cannot be read (logged). */
  find(containerId: string): CacheEntry | undefined
  put(entry: CacheEntry): void
  remove(containerId: string): void
  list(): readonly CacheEntry[]
}

/** `directory` is created, readable by its owner only. */
export function openCache(directory: string): AttachmentCache {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const fileOf = (containerId: string): string => join(directory, `${containerId}.json`)
  const find = (containerId: string): CacheEntry | undefined => readEntry(fileOf(containerId))
  return {
    find,
    put: (entry) => {
      const { attachment, network, interfaceName, state, result } = entry
      const record = { schema, attachment, network: networkToJson(network), interfaceName, state, result }
      writeFileAtomic(fileOf(attachment.containerId), JSON.stringify(record))
    },
    remove: (containerId) => rmSync(fileOf(containerId), { force: true }),
    list: () =>
      readdirSync(directory)
        .filter((name) => name.endsWith('.json'))
        .map((name) => find(name.slice(0, -'.json'.length)))
        .filter((entry) => entry !== undefined),
  }
}

function readEntry(path: string): CacheEntry | undefined {
  try {
    return parseEntry(parseJson('cached attachment', readFileSync(path), { maxBytes: maxEntryBytes }))
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined
    log.warn('cached attachment cannot be read: DEL will use the current network configuration', { path, error: explain(err) })
    return undefined
  }
}

function parseEntry(json: unknown): CacheEntry {
  if (!isObject(json) || json['schema'] !== schema) throw invalid(`cached attachment must have schema ${schema}`)
  const { attachment, network, interfaceName, state, result } = json
  if (!isObject(attachment) || typeof attachment['containerId'] !== 'string' || !isObject(attachment['capabilities'])) {
    throw invalid('cached attachment must have containerId and capabilities')
  }
  if (!isObject(network)) throw invalid('cached attachment must have a network')
  if (typeof interfaceName !== 'string') throw invalid('cached attachment must have an interfaceName')
  if (state !== 'wanted' && state !== 'attached') throw invalid('state of a cached attachment must be wanted or attached')
  return {
    // Written by `put` from an Attachment; the fields that lead to files or other programs are checked above or when they are used.
    attachment: attachment as unknown as Attachment,
    network: networkFromJson(network),
    interfaceName,
    state,
    result: isObject(result) ? result : undefined,
  }
}
