// Whether pods can get a network now: a configuration, its plugins in place and speaking its version, and what STATUS says. All from memory.
import { monotonicMs } from '@coracle/base/clock'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { isObject, parseJson } from '@coracle/base/parse-json'
import type { NetworkStatus } from './cni.ts'
import type { NetworkConfigList, PluginConfig } from './conflist.ts'
import type { PluginRunner } from './plugin.ts'
import { atLeast, cniVersions } from './version.ts'

const log = logger('cni')

/** Reference plugins that run the program named in `ipam.type`; others may give the field a meaning of their own. */
const delegating = new Set(['bridge', 'dummy', 'host-device', 'ipvlan', 'macvlan', 'ptp', 'tap', 'vlan'])

export interface ReadinessOptions {
  readonly runner: PluginRunner
  /** How often STATUS is asked. */
  readonly pollMs: number
  /** How long STATUS may fail after it succeeded before the network counts as not ready. */
  readonly graceMs: number
  /** Deadline of one VERSION or STATUS call. */
  readonly timeoutMs: number
}

export interface Readiness {
  status(): NetworkStatus
  /** Looks at the network: a missing plugin is known when this returns, versions and STATUS some time later. */
  look(network: NetworkConfigList, changed: boolean): void
  close(): void
}

export function createReadiness(options: ReadinessOptions): Readiness {
  const stop = new AbortController()
  let missing: string | undefined
  let probed: Probe = newProbe()
  let pending = false

  const poll = async (network: NetworkConfigList, probe: Probe): Promise<void> => {
    pending = true
    try {
      probe.versionProblem ??= await versionProblem(options, network, stop.signal)
      if (probe.versionProblem === undefined || probe.versionProblem === '')
        await askStatus(options, network, { probe, signal: stop.signal })
    } finally {
      pending = false
    }
  }
  return {
    status: () => {
      if (missing !== undefined) return { ready: false, reason: missing }
      if (probed.versionProblem) return { ready: false, reason: probed.versionProblem }
      return statusVerdict(probed, options.graceMs)
    },
    look: (network, changed) => {
      missing = missingPlugin(options.runner, network)
      if (changed) probed = newProbe()
      const due = monotonicMs() - probed.polledMs >= options.pollMs
      if (missing !== undefined || pending || stop.signal.aborted || !due) return
      probed.polledMs = monotonicMs()
      const probe = probed
      poll(network, probe).catch((err: unknown) =>
        log.warn('cannot ask network plugins for their state', { error: explain(err) }),
      )
    },
    close: () => stop.abort(),
  }
}

interface Probe {
  polledMs: number
  /** Undefined: not asked yet. Empty: all plugins speak the version. */
  versionProblem: string | undefined
  status: 'unknown' | 'ok' | 'failing'
  failingSinceMs: number
  wasOk: boolean
  reason: string
}

const newProbe = (): Probe => ({
  polledMs: Number.NEGATIVE_INFINITY,
  versionProblem: undefined,
  status: 'unknown',
  failingSinceMs: 0,
  wasOk: false,
  reason: '',
})

function statusVerdict(probe: Probe, graceMs: number): NetworkStatus {
  // Unknown counts as ready: networks below 1.1 have no STATUS, and a first answer is a moment away.
  if (probe.status !== 'failing') return { ready: true }
  const inGrace = probe.wasOk && monotonicMs() - probe.failingSinceMs < graceMs
  return inGrace ? { ready: true } : { ready: false, reason: probe.reason }
}

/** Which program of the network is not there, in words. */
export function missingPlugin(runner: PluginRunner, network: NetworkConfigList): string | undefined {
  for (const program of network.plugins.flatMap(programs)) {
    try {
      runner.find(program)
    } catch (err) {
      return `network ${network.name}: ${explain(err)}`
    }
  }
  return undefined
}

function programs(plugin: PluginConfig): readonly string[] {
  const ipam = plugin.json['ipam']
  const delegate = delegating.has(plugin.type) && isObject(ipam) ? ipam['type'] : undefined
  return typeof delegate === 'string' && delegate !== '' ? [plugin.type, delegate] : [plugin.type]
}

/** What is wrong with the plugins' versions, or an empty string. A plugin that does not answer VERSION is left to ADD. */
async function versionProblem(options: ReadinessOptions, network: NetworkConfigList, signal: AbortSignal): Promise<string> {
  for (const plugin of new Set(network.plugins.map(({ type }) => type))) {
    const supported = await supportedVersions(options, { plugin, network }, signal)
    if (supported === undefined || supported.includes(network.cniVersion)) continue
    const usable = cniVersions.filter((version) => supported.includes(version))
    return `network ${network.name}: cniVersion ${network.cniVersion} is not supported by plugin ${plugin} (it has ${usable.join(', ')})`
  }
  return ''
}

async function supportedVersions(
  options: ReadinessOptions,
  { plugin, network }: { plugin: string; network: NetworkConfigList },
  signal: AbortSignal,
): Promise<readonly unknown[] | undefined> {
  try {
    const output = await options.runner.run(
      {
        command: 'VERSION',
        plugin,
        subject: `network ${network.name}`,
        config: { cniVersion: network.cniVersion },
        env: {},
        deadlineMs: monotonicMs() + options.timeoutMs,
      },
      signal,
    )
    const json = parseJson('versions', output, { maxBytes: 64 * 1024 })
    return isObject(json) && Array.isArray(json['supportedVersions']) ? json['supportedVersions'] : undefined
  } catch (err) {
    if (!signal.aborted) log.warn('plugin does not tell its versions', { plugin, error: explain(err) })
    return undefined
  }
}

/** STATUS of every plugin in turn (1.1 and higher); the first that fails decides. */
async function askStatus(
  options: ReadinessOptions,
  network: NetworkConfigList,
  { probe, signal }: { probe: Probe; signal: AbortSignal },
): Promise<void> {
  if (!atLeast(network.cniVersion, '1.1.0')) return
  const subject = `network ${network.name}`
  try {
    for (const { type, json } of network.plugins) {
      const { capabilities: _declared, ...config } = json
      const deadlineMs = monotonicMs() + options.timeoutMs
      const full = { ...config, name: network.name, cniVersion: network.cniVersion }
      await options.runner.run({ command: 'STATUS', plugin: type, subject, config: full, env: {}, deadlineMs }, signal)
    }
    if (probe.status === 'failing') log.info('network plugins are well again', { network: network.name })
    probe.status = 'ok'
    probe.wasOk = true
  } catch (err) {
    if (signal.aborted) return
    probe.reason = explain(err)
    if (probe.status !== 'failing') {
      probe.failingSinceMs = monotonicMs()
      log.warn('network plugin reports trouble', { network: network.name, error: probe.reason })
    }
    probe.status = 'failing'
  }
}
