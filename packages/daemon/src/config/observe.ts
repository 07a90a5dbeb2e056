// The part of the configuration about what the daemon tells of itself.
import { invalid } from '@coracle/base/errors'
import type { Settings } from './load.ts'

export interface MetricsConfig {
  readonly address: string
  readonly port: number
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string }
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
