// One command through all plugins of a network (CNI spec 1.1, section 3).
import { statfsSync } from 'node:fs'
import { explain } from '@coracle/base/errors'
import type { JsonObject } from '@coracle/base/parse-json'
import { cniArgs, runtimeConfig } from './capabilities.ts'
import type { Attachment } from './cni.ts'
import type { NetworkConfigList, PluginConfig } from './conflist.ts'
import { type CniCommand, CniError } from './errors.ts'
import { type PluginCall, type PluginRunner, parseAnswer } from './plugin.ts'
import { resultInVersion } from './result.ts'
import { atLeast } from './version.ts'

export interface ChainRequest {
  readonly network: NetworkConfigList
  readonly attachment: Attachment
  readonly interfaceName: string
  /** A reading of `monotonicMs`, for the whole chain. */
  readonly deadlineMs: number
}

/** ADD in order, each plugin given the result of the one before. `onResult` hears of every result as it comes. Throws CniError. */
export async function addChain(
  runner: PluginRunner,
  request: ChainRequest & { readonly onResult: (result: JsonObject) => void },
  signal: AbortSignal,
): Promise<JsonObject> {
  let result: JsonObject | undefined
  for (const plugin of request.network.plugins) {
    const call = callOf('ADD', request, { plugin, prevResult: result })
    const answer = parseAnswer(call, await runner.run(call, signal))
    try {
      result = resultInVersion(answer, request.network.cniVersion)
    } catch (err) {
      throw new CniError({ ...call, reason: explain(err), code: 'internal' })
    }
    request.onResult(result)
  }
  // A network has at least one plugin.
  return result as JsonObject
}

/** DEL in reverse order, each plugin given the result that ADD ended with. Stops at the first that fails: it is called again later. */
export async function delChain(
  runner: PluginRunner,
  request: ChainRequest & { readonly result: JsonObject | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { network, result } = request
  // Before 0.4.0 DEL had no prevResult.
  const prevResult = atLeast(network.cniVersion, '0.4.0') ? result : undefined
  for (const plugin of network.plugins.toReversed()) await runner.run(callOf('DEL', request, { plugin, prevResult }), signal)
}

/** CHECK in order. */
export async function checkChain(
  runner: PluginRunner,
  request: ChainRequest & { readonly result: JsonObject },
  signal: AbortSignal,
): Promise<void> {
  for (const plugin of request.network.plugins) {
    await runner.run(callOf('CHECK', request, { plugin, prevResult: request.result }), signal)
  }
}

export interface GcRequest {
  readonly network: NetworkConfigList
  readonly valid: readonly { readonly containerID: string; readonly ifname: string }[]
  readonly deadlineMs: number
}

/** GC of every plugin, also when one fails. Throws AggregateError. */
export async function gcChain(runner: PluginRunner, request: GcRequest, signal: AbortSignal): Promise<void> {
  const { network, deadlineMs } = request
  const errors: unknown[] = []
  for (const plugin of network.plugins) {
    const config = { ...configOf(network, plugin), 'cni.dev/valid-attachments': request.valid }
    const subject = `network ${network.name}`
    try {
      await runner.run({ command: 'GC', plugin: plugin.type, subject, config, env: {}, deadlineMs }, signal)
    } catch (err) {
      errors.push(err)
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, '')
}

export const describePod = (attachment: Attachment): string => `pod ${attachment.podNamespace}/${attachment.podName}`

function callOf(
  command: CniCommand,
  request: ChainRequest,
  { plugin, prevResult }: { plugin: PluginConfig; prevResult: JsonObject | undefined },
): PluginCall {
  const { attachment, network } = request
  const dynamic = runtimeConfig(plugin, attachment.capabilities)
  return {
    command,
    plugin: plugin.type,
    subject: describePod(attachment),
    config: {
      ...configOf(network, plugin),
      ...(dynamic === undefined ? {} : { runtimeConfig: dynamic }),
      ...(prevResult === undefined ? {} : { prevResult }),
    },
    env: {
      CNI_CONTAINERID: attachment.containerId,
      CNI_NETNS: command === 'DEL' ? livingNamespace(attachment.netns) : attachment.netns,
      CNI_IFNAME: request.interfaceName,
      CNI_ARGS: cniArgs(attachment),
    },
    deadlineMs: request.deadlineMs,
  }
}

// `capabilities` is for the runtime only (CNI spec 1.1, section 3, "Deriving request configuration from plugin configuration").
function configOf(network: NetworkConfigList, plugin: PluginConfig): JsonObject {
  const { capabilities: _forUs, cniVersions: _ours, disableCheck: _c, disableGC: _g, ...config } = plugin.json
  return { ...config, name: network.name, cniVersion: network.cniVersion }
}

const nsfsMagic = 0x6e736673

/** The path when a namespace is pinned there, else an empty string: plugins then release what does not need the namespace. */
function livingNamespace(path: string): string {
  try {
    return path !== '' && statfsSync(path).type === nsfsMagic ? path : ''
  } catch {
    return ''
  }
}
