import { monotonicMs } from '@coracle/base/clock'
import { CodedError, codeOf, explain, failed } from '@coracle/base/errors'
import { KeyedLock } from '@coracle/base/keyed-lock'
import { logger } from '@coracle/base/log'
import type { JsonObject } from '@coracle/base/parse-json'
import { cleanupSignal } from '@coracle/base/signals'
import type { Processes } from '@coracle/host'
import { type AttachmentCache, type CacheEntry, openCache } from './cache.ts'
import { checkAttachment, hostPorts } from './capabilities.ts'
import { addChain, checkChain, delChain, describePod, gcChain } from './chain.ts'
import type { Attachment, Cni, NetworkResult } from './cni.ts'
import { type ConfigSource, openConfigSource } from './config-source.ts'
import type { NetworkConfigList } from './conflist.ts'
import { CniError } from './errors.ts'
import { HostPorts } from './host-ports.ts'
import { checkListeners } from './listeners.ts'
import { createPluginRunner, type PluginRunner } from './plugin.ts'
import { createReadiness, missingPlugin, type Readiness } from './readiness.ts'
import { networkResult } from './result.ts'
import { atLeast } from './version.ts'

const log = logger('cni')
const interfaceName = 'eth0'

export interface CniOptions {
  readonly configDir: string
  /** Searched in this order. */
  readonly pluginDirs: readonly string[]
  /** Attachments and their results. Must survive a reboot, as the address leases of plugins do. */
  readonly cacheDir: string
  /** For ADD through the whole list. Default 240 s: kubelet's own patience. */
  readonly addTimeoutMs?: number
  /** For DEL through the whole list. Default 60 s. */
  readonly delTimeoutMs?: number
  /** How often the directory is read and STATUS asked without being told. Default 5 s. */
  readonly pollMs?: number
  /** How long STATUS may fail before the network counts as not ready. Default 15 s. */
  readonly statusGraceMs?: number
}

export interface CniDeps {
  readonly processes: Pick<Processes, 'run'>
}

/** Loads the configuration and the cache, then watches the configuration directory until `close`. Keeps no process alive. */
export function createCni(options: CniOptions, deps: CniDeps): Cni {
  const runner = createPluginRunner(options.pluginDirs, deps.processes)
  const pollMs = options.pollMs ?? 5000
  const readiness = createReadiness({ runner, pollMs, graceMs: options.statusGraceMs ?? 15_000, timeoutMs: 10_000 })
  const source: ConfigSource = openConfigSource({
    directory: options.configDir,
    rereadMs: pollMs,
    onLook: (changed) => lookAt(source, readiness, changed),
  })
  lookAt(source, readiness, true)
  return new NodeNetwork(options, { runner, readiness, source, cache: openCache(options.cacheDir) })
}

/** What `add` refuses was never attached. */
function isAttachable(attachment: Attachment): boolean {
  try {
    checkAttachment(attachment)
    return true
  } catch {
    return false
  }
}

function lookAt(source: ConfigSource, readiness: Readiness, changed: boolean): void {
  const config = source.current()
  if (config.kind === 'network') readiness.look(config.network, changed)
}

interface Parts {
  readonly runner: PluginRunner
  readonly readiness: Readiness
  readonly source: ConfigSource
  readonly cache: AttachmentCache
}

class NodeNetwork implements Cni {
  readonly #parts: Parts
  readonly #addTimeoutMs: number
  readonly #delTimeoutMs: number
  readonly #locks = new KeyedLock('network')
  readonly #ports = new HostPorts()
  /** Attached by this process: valid whatever `gc` is told. */
  readonly #added = new Set<string>()
  /** Known to have nothing to release, so that another DEL is free. */
  readonly #released = new Set<string>()

  constructor(options: CniOptions, parts: Parts) {
    this.#parts = parts
    this.#addTimeoutMs = options.addTimeoutMs ?? 240_000
    this.#delTimeoutMs = options.delTimeoutMs ?? 60_000
    for (const entry of parts.cache.list()) this.#holdCachedPorts(entry)
  }

  status(): ReturnType<Cni['status']> {
    const config = this.#parts.source.current()
    return config.kind === 'problem' ? { ready: false, reason: config.reason } : this.#parts.readiness.status()
  }

  async add(attachment: Attachment, signal: AbortSignal): Promise<NetworkResult> {
    checkAttachment(attachment)
    const { containerId } = attachment
    using _lock = await this.#locks.lock(containerId, signal)
    const config = this.#parts.source.current()
    if (config.kind === 'problem') {
      this.#forget(containerId)
      throw new CodedError('unavailable', `attach ${describePod(attachment)}: ${config.reason}`)
    }
    const { network } = config
    const missing = missingPlugin(this.#parts.runner, network)
    if (missing !== undefined) {
      // Found now and not half-way: the DEL that would have to follow could not be done either.
      this.#forget(containerId)
      throw new CodedError('failed_precondition', `attach ${describePod(attachment)}: ${missing}`)
    }
    // ADD must not be called twice without DEL in between (CNI spec 1.1, section 2): an earlier attempt is undone first.
    const earlier = this.#parts.cache.find(containerId)
    if (earlier !== undefined) await this.#release(earlier)
    await this.#takePorts(network, attachment)
    this.#released.delete(containerId)
    this.#added.add(containerId)
    const entry: CacheEntry = { attachment, network, interfaceName, state: 'wanted', result: undefined }
    this.#parts.cache.put(entry)
    return await this.#attach(entry, signal)
  }

  async del(attachment: Attachment): Promise<void> {
    if (!isAttachable(attachment)) return
    const { containerId } = attachment
    using _lock = await this.#locks.lock(containerId, cleanupSignal(this.#addTimeoutMs + this.#delTimeoutMs))
    const entry = this.#parts.cache.find(containerId)
    if (entry !== undefined) return await this.#release(entry)
    if (this.#released.has(containerId)) return
    // Nothing is cached, but a former process may have attached the pod and lost its note: plugins take a DEL of what they do not know.
    const config = this.#parts.source.current()
    if (config.kind === 'problem') return
    await this.#release({ attachment, network: config.network, interfaceName, state: 'wanted', result: undefined })
  }

  async check(attachment: Attachment, signal: AbortSignal): Promise<void> {
    checkAttachment(attachment)
    using _lock = await this.#locks.lock(attachment.containerId, signal)
    const entry = this.#parts.cache.find(attachment.containerId)
    if (entry?.state !== 'attached' || entry.result === undefined) {
      throw new CodedError('failed_precondition', `check ${describePod(attachment)}: it is not attached to a network`)
    }
    if (!atLeast(entry.network.cniVersion, '0.4.0') || entry.network.disableCheck) return
    const deadlineMs = monotonicMs() + this.#delTimeoutMs
    await checkChain(this.#parts.runner, { ...entry, result: entry.result, deadlineMs }, signal)
  }

  async gc(valid: readonly Attachment[], signal: AbortSignal): Promise<void> {
    const keep = new Set([...valid.map(({ containerId }) => containerId), ...this.#added])
    const errors: unknown[] = []
    for (const { attachment } of this.#parts.cache.list()) {
      if (keep.has(attachment.containerId)) continue
      signal.throwIfAborted()
      try {
        await this.del(attachment)
      } catch (err) {
        errors.push(err)
      }
    }
    const config = this.#parts.source.current()
    if (config.kind === 'network' && atLeast(config.network.cniVersion, '1.1.0') && !config.network.disableGc) {
      // Asked again: pods may have been attached meanwhile.
      const ids = new Set([...keep, ...this.#added])
      const attachments = [...ids].map((containerID) => ({ containerID, ifname: interfaceName }))
      const request = { network: config.network, valid: attachments, deadlineMs: monotonicMs() + this.#delTimeoutMs }
      await gcChain(this.#parts.runner, request, signal).catch((err: unknown) => errors.push(err))
    }
    if (errors.length > 0) throw failed('collect networks of former pods', new AggregateError(errors, ''))
  }

  close(): void {
    this.#parts.source.close()
    this.#parts.readiness.close()
  }

  async #attach(entry: CacheEntry, signal: AbortSignal): Promise<NetworkResult> {
    const { attachment, network } = entry
    const deadlineMs = monotonicMs() + this.#addTimeoutMs
    let partial: JsonObject | undefined
    const onResult = (result: JsonObject) => {
      partial = result
    }
    try {
      const result = await addChain(this.#parts.runner, { ...entry, deadlineMs, onResult }, signal)
      const answer = networkResult(result, network.cniVersion, interfaceName)
      this.#parts.cache.put({ ...entry, state: 'attached', result })
      return answer
    } catch (err) {
      // DEL can undo more when it knows how far ADD came.
      if (partial !== undefined) this.#parts.cache.put({ ...entry, result: partial })
      if (err instanceof CniError) throw err
      throw new CodedError(codeOf(err), `attach ${describePod(attachment)} to network ${network.name}`, { cause: err })
    }
  }

  async #release(entry: CacheEntry): Promise<void> {
    const { containerId } = entry.attachment
    const deadlineMs = monotonicMs() + this.#delTimeoutMs
    await delChain(this.#parts.runner, { ...entry, deadlineMs }, cleanupSignal(this.#delTimeoutMs + 1000))
    this.#parts.cache.remove(containerId)
    this.#forget(containerId)
  }

  async #takePorts(network: NetworkConfigList, attachment: Attachment): Promise<void> {
    const ports = hostPorts(attachment)
    if (ports.length === 0) return
    if (!network.plugins.some(({ capabilities }) => capabilities.has('portMappings'))) {
      log.warn('no plugin of the network takes host ports', { network: network.name, pod: describePod(attachment) })
      return
    }
    try {
      this.#ports.reserve(attachment)
      await checkListeners(ports)
    } catch (err) {
      this.#forget(attachment.containerId)
      throw failed(`attach ${describePod(attachment)}`, err)
    }
  }

  #forget(containerId: string): void {
    this.#ports.release(containerId)
    this.#added.delete(containerId)
    this.#released.add(containerId)
    // Enough for the retries of kubelet; what is forgotten costs one needless DEL.
    if (this.#released.size > 10_000) this.#released.delete(this.#released.values().next().value ?? '')
  }

  #holdCachedPorts(entry: CacheEntry): void {
    try {
      this.#ports.reserve(entry.attachment)
    } catch (err) {
      log.warn('two attached pods have the same host port', { error: explain(err) })
    }
  }
}
