// The part of the configuration about what the daemon tells of itself.
import { invalid } from '@coracle/base/errors'
import type { Settings } from './load.ts'

export interface MetricsConfig {
  readonly address: string
  readonly port: number
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string }
}

export interface TracingConfig {
  readonly url: string
  readonly samplesPerMillion: number
}

/** Undefined: no traces. */
export function tracingOf(settings: Settings): TracingConfig | undefined {
  const url = settings.get('tracing.url')?.value
  if (url === undefined) return undefined
  return { url: String(url), samplesPerMillion: Number(settings.get('tracing.samples_per_million')?.value) }
}

/** The endpoint that kubelet and cAdvisor know by its path. */
const crioSocket = /(^|\/)run\/crio\/crio\.sock$/

export function servesCadvisor(settings: Settings, socket: string): boolean {
  const wanted = settings.get('cadvisor.serve')?.value
  return wanted === 'yes' || (wanted === 'auto' && crioSocket.test(socket))
}

export function scopePrefixOf(settings: Settings, socket: string): string {
  const wanted = String(settings.get('cgroups.scope_prefix')?.value)
  if (wanted !== 'auto') return wanted
  return servesCadvisor(settings, socket) ? 'crio' : 'coracle'
}

/** Undefined: not served. */
export function metricsOf(settings: Settings): MetricsConfig | undefined {
  const get = (key: string) => settings.get(`metrics.${key}`)?.value
  const [port, address] = [Number(get('port')), String(get('address'))]
  const [certificateFile, keyFile] = [get('tls_certificate'), get('tls_key')]
  if ((certificateFile === undefined) !== (keyFile === undefined))
    throw invalid('metrics.tls_certificate and metrics.tls_key go together')
  if (port === 0) return undefined
  if (certificateFile === undefined && !/^(127\.|::1$)/.test(address))
    throw invalid(`metrics.address is ${address}, expected a loopback address unless metrics.tls_certificate is set`)
  return {
    address,
    port,
    ...(certificateFile === undefined ? {} : { tls: { certificateFile: String(certificateFile), keyFile: String(keyFile) } }),
  }
}
