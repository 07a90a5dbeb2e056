// The network configuration directory: its first file in lexical order is the network of this node.
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { explain, invalid, precondition } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import { type NetworkConfigList, parseNetworkConfig, wantsSplitPlugins } from './conflist.ts'

const log = logger('cni')
const maxFileBytes = 1024 * 1024

export type LoadedConfig =
  | { readonly kind: 'network'; readonly file: string; readonly network: NetworkConfigList }
  | { readonly kind: 'problem'; readonly reason: string }

export interface ConfigSource {
  /** From memory. */
  current(): LoadedConfig
  close(): void
}

export interface ConfigSourceOptions {
  readonly directory: string
  /** How often the directory is looked at in case the watch missed something or could not be made. */
  readonly rereadMs: number
  /** Called after `current` has changed, and on every look at the directory. */
  readonly onLook: (changed: boolean) => void
}

/** Loads, watches and re-reads. Keeps no process alive. */
export function openConfigSource(options: ConfigSourceOptions): ConfigSource {
  let current = load(options.directory)
  let seen = JSON.stringify(current)
  let watcher: FSWatcher | undefined
  let soon: NodeJS.Timeout | undefined
  const look = () => {
    soon = undefined
    const next = load(options.directory)
    const text = JSON.stringify(next)
    const changed = text !== seen
    if (changed) {
      current = next
      seen = text
      report(next)
    }
    watcher ??= watchDirectory(options.directory, lookSoon, () => {
      watcher = undefined
    })
    options.onLook(changed)
  }
  // Writers make several events in a row; they are over long before kubelet asks again.
  const lookSoon = () => {
    soon ??= setTimeout(look, 50).unref()
  }
  report(current)
  watcher = watchDirectory(options.directory, lookSoon, () => {
    watcher = undefined
  })
  const timer = setInterval(look, options.rereadMs).unref()
  return {
    current: () => current,
    close: () => {
      clearInterval(timer)
      clearTimeout(soon)
      watcher?.close()
    },
  }
}

function watchDirectory(directory: string, onChange: () => void, onEnd: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      onChange()
      // The directory itself was moved or removed: what is there next needs a new watch.
      if (name === null || unlessErrno(['ENOENT', 'ENOTDIR'], () => statSync(directory), undefined) === undefined) end()
    })
    const end = () => {
      watcher.close()
      onEnd()
    }
    watcher.on('error', end)
    return watcher
  } catch (err) {
    // Absent, or no inotify watches left: the timer goes on looking.
    if (!isErrno(err, 'ENOENT', 'ENOTDIR')) log.warn('cannot watch directory', { directory, error: explain(err) })
    return undefined
  }
}

function report(config: LoadedConfig): void {
  if (config.kind === 'problem') {
    log.warn('no usable network configuration', { reason: config.reason })
    return
  }
  const { name, cniVersion, plugins } = config.network
  log.info('network configuration loaded', {
    file: config.file,
    network: name,
    cniVersion,
    plugins: plugins.map(({ type }) => type),
  })
}

/** Never throws: what is wrong becomes the reason why the network is not ready. */
function load(directory: string): LoadedConfig {
  let file: string | undefined
  try {
    const names = unlessErrno(['ENOENT', 'ENOTDIR'], () => readdirSync(directory), [])
    const first = names.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort()[0]
    if (first === undefined) return { kind: 'problem', reason: `no network configuration in ${directory}` }
    file = join(directory, first)
    const text = readConfig(file)
    const network = parseNetworkConfig(text, splitPlugins(directory, text))
    return { kind: 'network', file, network }
  } catch (err) {
    return { kind: 'problem', reason: `network configuration ${file ?? directory} is invalid: ${explain(err)}` }
  }
}

/** `DIRECTORY/NAME/*.conf` are appended to the list called NAME, unless it says loadOnlyInlinedPlugins. */
function splitPlugins(directory: string, text: Buffer): readonly JsonObject[] {
  const json = parseJson('network configuration', text, { maxBytes: maxFileBytes })
  if (!isObject(json) || !wantsSplitPlugins(json)) return []
  const name = json['name']
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) return []
  const folder = join(directory, name)
  const files = unlessErrno(['ENOENT', 'ENOTDIR'], () => readdirSync(folder), [])
  return files
    .filter((file) => file.endsWith('.conf'))
    .sort()
    .map((file) => {
      const plugin = parseJson(join(folder, file), readConfig(join(folder, file)), { maxBytes: maxFileBytes })
      if (!isObject(plugin)) throw invalid(`${join(folder, file)} must be a JSON object`)
      return plugin
    })
}

// A configuration names programs that run as root: only root may have written it.
function readConfig(file: string): Buffer {
  const stats = statSync(file)
  if (!stats.isFile()) throw precondition('not a regular file')
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) throw precondition(`owned by uid ${stats.uid}, not by root`)
  if ((stats.mode & 0o022) !== 0) throw precondition('can be written by others than its owner: chmod go-w it')
  if (stats.size > maxFileBytes) throw invalid(`${stats.size} bytes, more than the limit of ${maxFileBytes}`)
  return readFileSync(file)
}
