// How the commands that move images reach registries, as options.
import type { RegistryAccess } from '@coracle/image/moving'
import { UsageError } from '../usage-error.ts'

export const sourceOptions = {
  'src-creds': { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry that is read' },
  'src-plain-http': { kind: 'flag', help: 'the registry that is read speaks plain HTTP' },
} as const

export const destinationOptions = {
  'dest-creds': { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry that is written' },
  'dest-plain-http': { kind: 'flag', help: 'the registry that is written speaks plain HTTP' },
} as const

export const registryOptions = {
  creds: { kind: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry' },
  'plain-http': { kind: 'flag', help: 'the registry speaks plain HTTP' },
} as const

/** As the daemon reads them, too. */
const systemFiles = {
  registriesConf: '/etc/containers/registries.conf',
  registriesConfDirectory: '/etc/containers/registries.conf.d',
  hostsDirectories: ['/etc/containerd/certs.d'],
  certificateDirectories: ['/etc/containers/certs.d', '/etc/docker/certs.d'],
}

/**
 * The registry configuration of this machine, the credentials of whoever calls, and what the command line says.
 * @throws UsageError for credentials without a colon.
 */
export function accessOf(name: string, creds: string | undefined, plainHttp: boolean): RegistryAccess {
  const registries = {
    files: { ...systemFiles, authFiles: authFiles(process.env) },
    proxies: proxiesOf(process.env),
    helpers: helpersOf(process.env),
  }
  const access = { registries, processes, ...(plainHttp ? { insecure: true } : {}) }
  if (creds === undefined) return access
  const colon = creds.indexOf(':')
  if (colon < 1) throw new UsageError(`option --${name} expects USER:PASSWORD`)
  return { ...access, credentials: { username: creds.slice(0, colon), password: creds.slice(colon + 1) } }
}

/** The kernel's door is opened only when a helper is named for the host: most commands need none. */
const processes: NonNullable<RegistryAccess['processes']> = {
  run: async (request) => (await import('@coracle/host')).createHost().processes.run(request),
}

const helperTimeoutMs = 30_000

/** Programs of whoever calls, with all that they find in the environment: their keyring, their region, their token. */
function helpersOf(environment: Environment): NonNullable<NonNullable<RegistryAccess['registries']>['helpers']> {
  const directories = (environment['PATH'] || '/usr/local/bin:/usr/bin').split(':').filter((path) => path.startsWith('/'))
  const given = Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  return { directories, timeoutMs: helperTimeoutMs, environment: Object.fromEntries(given) }
}

type Environment = { readonly [name: string]: string | undefined }

/** Where `skopeo login`, `podman login` and `docker login` leave credentials (containers-auth.json(5)). */
export function authFiles(environment: Environment): readonly string[] {
  const {
    REGISTRY_AUTH_FILE: own,
    XDG_RUNTIME_DIR: runtime,
    XDG_CONFIG_HOME: config,
    HOME: home,
    DOCKER_CONFIG: docker,
  } = environment
  if (own) return [own]
  const settings = config || (home ? `${home}/.config` : undefined)
  const dockerDirectory = docker || (home ? `${home}/.docker` : undefined)
  return [
    ...(runtime ? [`${runtime}/containers/auth.json`] : []),
    ...(settings ? [`${settings}/containers/auth.json`] : []),
    ...(dockerDirectory ? [`${dockerDirectory}/config.json`] : []),
  ]
}

function proxiesOf(environment: Environment): NonNullable<NonNullable<RegistryAccess['registries']>['proxies']> {
  const get = (name: string) => environment[name] || environment[name.toLowerCase()]
  const [http, https, except] = [get('HTTP_PROXY'), get('HTTPS_PROXY'), get('NO_PROXY')]
  return {
    ...(http ? { http } : {}),
    ...(https ? { https } : {}),
    ...(except ? { except: except.split(',').map((part) => part.trim()) } : {}),
  }
}
