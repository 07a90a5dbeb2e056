// Keys about registries: our own tables, the files of other programs, credential helpers, proxies.
import { absolute, absoluteOrNone, allAbsolute, range } from './checks.ts'
import type { Key, Value } from './keys.ts'

const proxy = (value: Value) => {
  const text = String(value)
  if (text === '') return undefined
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  return url !== null && ['http:', 'https:'].includes(url.protocol) ? undefined : 'expected a URL such as http://host:port'
}

export const registryKeys: readonly Key[] = [
  {
    path: 'registries.*.insecure',
    type: 'boolean',
    default: false,
    reload: true,
    doc: 'Speak plain HTTP to this registry host. Loopback addresses need no entry.',
  },
  {
    path: 'registries.*.ca_file',
    type: 'string',
    default: undefined,
    reload: true,
    check: absolute,
    doc: 'PEM file of certificate authorities for this registry host, besides those of the system.',
  },
  { path: 'registries.*.blocked', type: 'boolean', default: false, reload: true, doc: 'Never ask this registry host.' },
  {
    path: 'registries.*.mirrors',
    type: 'strings',
    default: [],
    reload: true,
    doc: 'Hosts asked before this registry, in this order.',
  },
  {
    path: 'registries.*.skip_verify',
    type: 'boolean',
    default: false,
    reload: true,
    doc: 'Speak TLS to this registry host, and believe whoever answers.',
  },
  {
    path: 'registries.*.client_certificate',
    type: 'string',
    default: undefined,
    reload: true,
    check: absolute,
    doc: 'PEM certificate chain shown to this registry host.',
  },
  {
    path: 'registries.*.client_key',
    type: 'string',
    default: undefined,
    reload: true,
    check: absolute,
    doc: 'PEM key of the client certificate.',
  },
  {
    path: 'registry_files.registries_conf',
    type: 'string',
    default: '/etc/containers/registries.conf',
    reload: true,
    check: absoluteOrNone,
    doc: 'registries.conf of the containers tools (version 2). Read again when it changes, as all these files. "": none.',
  },
  {
    path: 'registry_files.registries_conf_dir',
    type: 'string',
    default: '/etc/containers/registries.conf.d',
    reload: true,
    check: absoluteOrNone,
    doc: 'Its drop-ins, *.conf in lexical order. "": none.',
  },
  {
    path: 'registry_files.hosts_dirs',
    type: 'strings',
    default: ['/etc/containerd/certs.d'],
    reload: true,
    check: allAbsolute,
    doc: 'Directories of HOST/hosts.toml as containerd has them.',
  },
  {
    path: 'registry_files.certs_dirs',
    type: 'strings',
    default: ['/etc/containers/certs.d', '/etc/docker/certs.d'],
    reload: true,
    check: allAbsolute,
    doc: 'Directories of HOST/*.crt (authorities), HOST/*.cert and *.key (client).',
  },
  {
    path: 'registry_files.auth_files',
    type: 'strings',
    default: [],
    reload: true,
    check: allAbsolute,
    doc: "Credentials of the node, for every pod: auth.json of the containers tools or docker's config.json. None by default.",
  },
  {
    path: 'credential_helpers.dirs',
    type: 'strings',
    default: ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    reload: true,
    check: allAbsolute,
    doc: 'Where programs docker-credential-NAME are looked for.',
  },
  {
    path: 'credential_helpers.timeout_s',
    type: 'integer',
    default: 30,
    reload: true,
    check: range(1, 600),
    doc: 'Seconds that such a program may take.',
  },
  {
    path: 'proxy.http',
    type: 'string',
    default: undefined,
    reload: true,
    conventional: ['HTTP_PROXY', 'http_proxy'],
    check: proxy,
    doc: 'Proxy for registries that speak plain HTTP: http://[user:password@]host:port. Unset: variable HTTP_PROXY.',
  },
  {
    path: 'proxy.https',
    type: 'string',
    default: undefined,
    reload: true,
    conventional: ['HTTPS_PROXY', 'https_proxy'],
    check: proxy,
    doc: 'Proxy for registries that speak TLS, by CONNECT. Unset: variable HTTPS_PROXY. "": none.',
  },
  {
    path: 'proxy.except',
    type: 'strings',
    default: [],
    reload: true,
    conventional: ['NO_PROXY', 'no_proxy'],
    doc: 'Asked without a proxy: hosts with their subdomains, .subdomains, addresses, CIDR ranges, each with or without :port; *. Unset: NO_PROXY.',
  },
]
