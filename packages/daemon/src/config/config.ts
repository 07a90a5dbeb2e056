import { basename, join } from 'node:path'
import { invalid } from '@coracle/base/errors'
import type { LogLevel } from '@coracle/base/log'
import type { PolicyFiles } from '@coracle/image'
import { pathOfSocket } from './checks.ts'
import { type ImagePlaces, imagePlacesOf } from './image-places.ts'
import type { Value } from './keys.ts'
import type { Settings } from './load.ts'

import { type MetricsConfig, metricsOf, scopePrefixOf, servesCadvisor, type TracingConfig, tracingOf } from './observe.ts'
import { type RegistriesConfig, registriesOf } from './registries.ts'
import { namesIn } from './tables.ts'

export interface RuntimeConfig {
  readonly handler: string
  readonly path: string
  readonly kind: 'crun' | 'runc' | 'runsc' | 'other'
  readonly arguments: readonly string[]
  readonly allowedAnnotations: readonly string[]
  readonly privilegedWithoutHostDevices: boolean
}

export interface StreamingConfig {
  readonly address: string
  readonly port: number
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string }
  readonly idleTimeoutMs: number
}

/** The whole configuration, parsed once. Each room takes its own part. */
export interface Config {
  readonly root: string
  readonly state: string
  readonly socket: string
  readonly name: string
  readonly defaultRuntime: string
  readonly strictFloors: boolean
  readonly unsetSeccomp: string
  readonly log: { readonly level: LogLevel; readonly format: 'auto' | 'json' | 'pretty' }
  readonly cgroups: {
    readonly driver: 'auto' | 'cgroupfs' | 'systemd'
    readonly defaultParent: string
    readonly monitor: string | undefined
    readonly scopePrefix: string
  }
  readonly programs: { readonly conmon: string; readonly init: string }
  readonly runtimes: readonly RuntimeConfig[]
  readonly cni: {
    readonly configDir: string
    readonly pluginDirs: readonly string[]
    readonly addTimeoutMs: number
    readonly delTimeoutMs: number
  }
  readonly ownDevices: boolean
  readonly absentSourcesToReject: readonly string[]
  readonly apparmor: { readonly enabled: boolean; readonly parser: string | undefined }
  readonly selinux: { readonly enabled: boolean }
  readonly cdi: { readonly specDirs: readonly string[]; readonly annotations: boolean }
  readonly images: ImagePlaces & {
    readonly maxDownloads: number
    readonly maxDownloadsPerImage: number
    readonly connectionsPerLayer: number
    readonly stallTimeoutMs: number
    readonly pinned: readonly string[]
    readonly keepBlobs: boolean
    readonly policyFiles: PolicyFiles
    readonly registries: RegistriesConfig
  }
  readonly streaming: StreamingConfig
  /** Undefined: not served. */
  readonly metrics: MetricsConfig | undefined
  readonly limits: { readonly probeTimeoutMs: number; readonly runtimeTimeoutMs: number; readonly unclaimedMs: number }
  /** Undefined: none. */
  readonly tracing: TracingConfig | undefined
  readonly servesCadvisor: boolean
}

/** Handlers that are there without being configured, where their program is. */
const builtInRuntimes = { crun: '/usr/bin/crun', runc: '/usr/sbin/runc', runsc: '/usr/bin/runsc' } as const

/** Throws `invalid_argument` for what only the whole can tell. */
export function toConfig(settings: Settings, exists: (path: string) => boolean): Config {
  // The types hold: each value was checked against its key's type when it was read.
  const get = <T extends Value>(path: string): T => settings.get(path)?.value as T
  const state = get<string>('state')
  const socket = pathOfSocket((settings.get('socket')?.value as string | undefined) ?? join(state, 'coracle.sock'))
  const runtimes = runtimesOf(settings, exists)
  const defaultRuntime = get<string>('default_runtime')
  if (defaultRuntime !== 'auto' && !runtimes.some(({ handler }) => handler === defaultRuntime)) {
    const from = settings.get('default_runtime')?.from
    throw invalid(
      `${from}: default_runtime "${defaultRuntime}" is no configured handler: expected auto or one of ${runtimes.map((r) => r.handler).join(', ')}`,
    )
  }
  return {
    root: get('root'),
    state,
    socket,
    name: get('name'),
    defaultRuntime,
    strictFloors: get('strict_floors'),
    unsetSeccomp: get('unset_seccomp'),
    log: { level: get<string>('log.level') as LogLevel, format: get<string>('log.format') as Config['log']['format'] },
    cgroups: {
      driver: get<string>('cgroups.driver') as Config['cgroups']['driver'],
      defaultParent: get('cgroups.default_parent'),
      monitor: get('cgroups.monitor'),
      scopePrefix: scopePrefixOf(settings, socket),
    },
    programs: { conmon: get('programs.conmon'), init: get('programs.init') },
    runtimes,
    cni: {
      configDir: get('cni.config_dir'),
      pluginDirs: get('cni.plugin_dirs'),
      addTimeoutMs: get<number>('cni.add_timeout_s') * 1000,
      delTimeoutMs: get<number>('cni.del_timeout_s') * 1000,
    },
    absentSourcesToReject: get('mounts.absent_sources_to_reject'),
    ownDevices: get('devices.owner_from_security_context'),
    apparmor: { enabled: get('apparmor.enabled'), parser: get('apparmor.parser') },
    selinux: { enabled: get('selinux.enabled') },
    cdi: { specDirs: get('cdi.spec_dirs'), annotations: get('cdi.annotations') },
    images: {
      ...imagePlacesOf(settings),
      maxDownloads: get('images.max_downloads'),
      maxDownloadsPerImage: get('images.max_downloads_per_image'),
      connectionsPerLayer: get('images.connections_per_layer'),
      stallTimeoutMs: get<number>('images.stall_timeout_s') * 1000,
      pinned: get('images.pinned'),
      keepBlobs: get('images.keep_blobs'),
      policyFiles: { path: get('images.signature_policy'), directory: get('images.signature_policy_dir') },
      registries: registriesOf(settings),
    },
    streaming: streamingOf(settings),
    metrics: metricsOf(settings),
    tracing: tracingOf(settings),
    servesCadvisor: servesCadvisor(settings, socket),
    limits: {
      probeTimeoutMs: get<number>('limits.probe_timeout_s') * 1000,
      runtimeTimeoutMs: get<number>('limits.runtime_timeout_s') * 1000,
      unclaimedMs: get<number>('limits.unclaimed_s') * 1000,
    },
  }
}

function runtimesOf(settings: Settings, exists: (path: string) => boolean): RuntimeConfig[] {
  const configured = namesIn(settings, 'runtimes')
  const builtIn = Object.entries(builtInRuntimes).filter(([name, path]) => !configured.includes(name) && exists(path))
  const get = (name: string, key: string) => settings.get(`runtimes.${name}.${key}`)?.value
  const all = [...configured, ...builtIn.map(([name]) => name)].map((handler): RuntimeConfig => {
    const path = get(handler, 'path') ?? builtInRuntimes[handler as keyof typeof builtInRuntimes]
    if (path === undefined) throw invalid(`runtimes.${handler}.path is required`)
    if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(handler))
      throw invalid(`runtimes.${handler}: a handler's name is a lower-case DNS label`)
    return {
      handler,
      path: String(path),
      kind: (get(handler, 'kind') as RuntimeConfig['kind'] | undefined) ?? kindOf(String(path)),
      arguments: (get(handler, 'arguments') ?? []) as readonly string[],
      allowedAnnotations: (get(handler, 'allowed_annotations') ?? []) as readonly string[],
      privilegedWithoutHostDevices: get(handler, 'privileged_without_host_devices') === true,
    }
  })
  return all.sort((a, b) => (a.handler < b.handler ? -1 : 1))
}

function kindOf(path: string): RuntimeConfig['kind'] {
  const name = basename(path)
  return name === 'crun' || name === 'runc' || name === 'runsc' ? name : 'other'
}

function streamingOf(settings: Settings): StreamingConfig {
  const get = (key: string) => settings.get(`streaming.${key}`)?.value
  const [certificateFile, keyFile] = [get('tls_certificate'), get('tls_key')]
  if ((certificateFile === undefined) !== (keyFile === undefined))
    throw invalid('streaming.tls_certificate and streaming.tls_key go together')
  return {
    address: String(get('address')),
    port: Number(get('port')),
    idleTimeoutMs: Number(get('idle_timeout_s')) * 1000,
    ...(certificateFile === undefined ? {} : { tls: { certificateFile: String(certificateFile), keyFile: String(keyFile) } }),
  }
}
