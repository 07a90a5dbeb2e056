// From `coracle run`'s options to the two CRI configurations. Pure: every rule is a table test.
import {
  type ContainerConfig,
  ContainerConfigSchema,
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
  NamespaceMode,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from '@coracle/cri-api'
import { create } from '@coracle/cri-api/json'
import { parsePairs } from '../select.ts'
import { UsageError } from '../usage-error.ts'
import type { RunOptions } from './options.ts'
import { parsePort, parseUser, parseVariable, parseVolume } from './specs.ts'

export type RunInput = {
  readonly options: RunOptions
  readonly image: string
  readonly command: readonly string[]
  /** Eight hex digits or so: makes the default name unique. */
  readonly suffix: string
  readonly uid: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

export type RunConfigs = { readonly pod: PodSandboxConfig; readonly container: ContainerConfig }

/** Where the logs of `coracle run` live, a directory for each pod. */
const LOG_ROOT = '/var/log/coracle'

/** The log directory of a pod that `coracle run` made; of other pods it does not exist. */
export function runLogDirectory({ name, uid }: { readonly name: string; readonly uid: string }): string | undefined {
  const directory = `${name}_${uid}`
  // Names come from other clients too: nothing outside the root may ever be meant.
  return uid === '' || directory.includes('/') ? undefined : `${LOG_ROOT}/${directory}`
}

const CPU_PERIOD_US = 100_000
/** Of every pod that `coracle run` makes. */
export const NAMESPACE = 'default'

/** @throws UsageError naming the option that is wrong. */
export function buildConfigs(input: RunInput): RunConfigs {
  const { options, uid } = input
  const name = options.name ?? `${imageStem(input.image)}-${input.suffix}`
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name))
    throw new UsageError(`name "${name}"; expected up to 63 letters, digits, dots, dashes and underscores`)
  const labels = {
    ...parsePairs('label', options.label),
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': NAMESPACE,
    'io.kubernetes.pod.uid': uid,
  }
  return { pod: podConfig(input, name, labels), container: containerConfig(input, name, labels) }
}

function podConfig({ options, uid }: RunInput, name: string, labels: Record<string, string>): PodSandboxConfig {
  const onHost = options.network === 'host'
  if (onHost && options.publish.length > 0)
    throw new UsageError('--publish has no meaning with --network host: the ports are those of this machine already')
  return create(PodSandboxConfigSchema, {
    metadata: { name, namespace: NAMESPACE, uid, attempt: 0 },
    hostname: onHost ? '' : (options.hostname ?? name).slice(0, 63),
    logDirectory: runLogDirectory({ name, uid }) ?? '',
    labels,
    portMappings: options.publish.map(parsePort),
    ...(options.dns.length > 0 ? { dnsConfig: { servers: [...options.dns] } } : {}),
    linux: {
      securityContext: {
        privileged: options.privileged,
        namespaceOptions: { network: onHost ? NamespaceMode.NODE : NamespaceMode.POD, pid: NamespaceMode.CONTAINER },
      },
    },
  })
}

function containerConfig(
  { options, image, command, environment }: RunInput,
  name: string,
  labels: Record<string, string>,
): ContainerConfig {
  const entrypoint = options.entrypoint === undefined || options.entrypoint === '' ? [] : [options.entrypoint]
  const terminal = options.tty ? [{ key: 'TERM', value: 'xterm' }] : []
  const variables = options.env.map((text) => parseVariable(text, environment)).filter((variable) => variable !== undefined)
  return create(ContainerConfigSchema, {
    metadata: { name, attempt: 0 },
    image: { image, userSpecifiedImage: image },
    command: entrypoint,
    args: [...command],
    workingDir: options.workdir ?? '',
    envs: [...terminal, ...variables].map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    mounts: options.volume.map(parseVolume),
    labels: { ...labels, 'io.kubernetes.container.name': name },
    logPath: '0.log',
    stdin: options.interactive,
    // With the first session gone nobody is left who could type: the program is told.
    stdinOnce: options.interactive && !options.detach,
    tty: options.tty,
    linux: { resources: resources(options), securityContext: security(options) },
  })
}

function resources({ memory, cpus }: RunOptions): LinuxContainerResources {
  if (cpus !== undefined && cpus < 0.01) throw new UsageError(`option --cpus is ${cpus}; expected at least 0.01`)
  return create(LinuxContainerResourcesSchema, {
    memoryLimitInBytes: BigInt(memory ?? 0),
    ...(cpus === undefined ? {} : { cpuPeriod: BigInt(CPU_PERIOD_US), cpuQuota: BigInt(Math.round(cpus * CPU_PERIOD_US)) }),
  })
}

function security(options: RunOptions) {
  const { uid, username = '', gid } = options.user === undefined ? {} : parseUser(options.user)
  return {
    privileged: options.privileged,
    readonlyRootfs: options['read-only'],
    namespaceOptions: {
      network: options.network === 'host' ? NamespaceMode.NODE : NamespaceMode.POD,
      pid: NamespaceMode.CONTAINER,
    },
    ...(uid === undefined ? {} : { runAsUser: { value: uid } }),
    runAsUsername: username,
    ...(gid === undefined ? {} : { runAsGroup: { value: gid } }),
    capabilities: { addCapabilities: [...options['cap-add']], dropCapabilities: [...options['cap-drop']] },
  }
}

/** The last word of an image's name, fit for a host name: `127.0.0.1:5000/a/busybox:1` is `busybox`. */
export function imageStem(image: string): string {
  const [path = ''] = image.split('@')
  const last = path.slice(path.lastIndexOf('/') + 1).replace(/:.*$/, '')
  return (
    last
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, 40) || 'pod'
  )
}
