// The part of the configuration that is about registries, as the image room takes it.
import { invalid } from '@coracle/base/errors'
import type { RegistriesConfig } from '@coracle/image'
import type { Value } from './keys.ts'
import type { Settings } from './load.ts'
import { namesIn } from './tables.ts'

export type { RegistriesConfig }

/** Throws `invalid_argument` for a client certificate without its key. */
export function registriesOf(settings: Settings): RegistriesConfig {
  const hosts = namesIn(settings, 'registries')
  const get = (host: string, key: string) => settings.get(`registries.${host}.${key}`)?.value
  const pairs = <T extends Value>(key: string): Record<string, T> =>
    // The types hold: each value was checked against its key's type when it was read.
    Object.fromEntries(hosts.flatMap((host) => (get(host, key) === undefined ? [] : [[host, get(host, key) as T]])))
  const those = (key: string) => hosts.filter((host) => get(host, key) === true)
  const sources = [...settings].filter(([path]) => path.startsWith('registries.')).map(([path, { from }]) => [path, from])
  return {
    insecureHosts: those('insecure'),
    mirrors: pairs<readonly string[]>('mirrors'),
    caFiles: pairs<string>('ca_file'),
    clientCertificates: clientCertificates(pairs<string>('client_certificate'), pairs<string>('client_key')),
    skipVerify: those('skip_verify'),
    blocked: those('blocked'),
    from: Object.fromEntries(sources),
    files: filesOf(settings),
    proxies: proxiesOf(settings),
    helpers: {
      directories: settings.get('credential_helpers.dirs')?.value as readonly string[],
      timeoutMs: Number(settings.get('credential_helpers.timeout_s')?.value) * 1000,
      environment: {},
    },
  }
}

function clientCertificates(certificates: Record<string, string>, keys: Record<string, string>) {
  const alone = Object.keys({ ...certificates, ...keys }).find((host) => !certificates[host] || !keys[host])
  if (alone !== undefined) throw invalid(`registries."${alone}".client_certificate and client_key go together`)
  const both = Object.entries(certificates)
  return Object.fromEntries(both.map(([host, certificateFile]) => [host, { certificateFile, keyFile: keys[host] ?? '' }]))
}

function filesOf(settings: Settings): NonNullable<RegistriesConfig['files']> {
  const get = (key: string) => settings.get(`registry_files.${key}`)?.value
  const [registriesConf, registriesConfDirectory] = [String(get('registries_conf')), String(get('registries_conf_dir'))]
  return {
    ...(registriesConf === '' ? {} : { registriesConf }),
    ...(registriesConfDirectory === '' ? {} : { registriesConfDirectory }),
    hostsDirectories: get('hosts_dirs') as readonly string[],
    certificateDirectories: get('certs_dirs') as readonly string[],
    authFiles: get('auth_files') as readonly string[],
  }
}

function proxiesOf(settings: Settings): NonNullable<RegistriesConfig['proxies']> {
  const [http, https] = ['proxy.http', 'proxy.https'].map((path) => settings.get(path)?.value as string | undefined)
  return {
    ...(http ? { http } : {}),
    ...(https ? { https } : {}),
    except: settings.get('proxy.except')?.value as readonly string[],
  }
}
