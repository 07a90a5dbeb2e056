// From a running container to the configuration of one that looks into it. Pure.
import {
  type Container,
  type ContainerConfig,
  ContainerConfigSchema,
  NamespaceMode,
  type NamespaceOption,
  type PodSandbox,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from '@coracle/cri-api'
import { create } from '@coracle/cri-api/json'

export type DebugSpec = {
  readonly target: Container
  /** Empty: a shell. */
  readonly command: readonly string[]
  readonly tty: boolean
  /** Some hex digits: makes the name unique. */
  readonly suffix: string
  /** An image that has the tools, or a static busybox of this machine. */
  readonly tool: { readonly image: string } | { readonly busybox: string }
}

/** Where the host's busybox is in the container: no image has anything there. */
const BUSYBOX = '/.coracle/busybox'

/** What runtimes that want the pod's configuration again look at. */
export function sandboxConfigOf({
  pod,
  options,
}: {
  readonly pod: PodSandbox
  readonly options: NamespaceOption | undefined
}): PodSandboxConfig {
  return create(PodSandboxConfigSchema, {
    ...(pod.metadata && { metadata: pod.metadata }),
    labels: pod.labels,
    annotations: pod.annotations,
    linux: { securityContext: options ? { namespaceOptions: options } : {} },
  })
}

export function debugContainerConfig(spec: DebugSpec, pod: PodSandboxConfig): ContainerConfig {
  const { target, command, tty, tool } = spec
  const name = `debug-${spec.suffix}`
  const image =
    'image' in tool ? { image: tool.image, userSpecifiedImage: tool.image } : { image: target.imageId || target.imageRef }
  const network = pod.linux?.securityContext?.namespaceOptions?.network ?? NamespaceMode.POD
  return create(ContainerConfigSchema, {
    metadata: { name, attempt: 0 },
    image,
    ...commandOf(spec),
    envs: [{ key: 'TERM', value: Buffer.from('xterm') }],
    mounts: 'busybox' in tool ? [{ hostPath: tool.busybox, containerPath: BUSYBOX, readonly: true }] : [],
    workingDir: '/',
    labels: { 'coracle.debug/target': target.id },
    stdin: true,
    // The end of the first session is the end of the input: a shell that nobody can reach any more ends.
    stdinOnce: true,
    tty,
    linux: {
      securityContext: {
        runAsUser: { value: 0n },
        namespaceOptions: { network, pid: NamespaceMode.TARGET, targetId: target.id },
        // To read /proc/1/root and to trace what another user runs.
        capabilities: { addCapabilities: ['SYS_PTRACE'] },
      },
    },
  })

  function commandOf({ tool }: DebugSpec): { command: string[]; args: string[] } {
    if ('image' in tool) return { command: command.length > 0 ? [] : ['sh'], args: [...command] }
    // busybox' shell finds the other applets in itself; any other program by its path.
    return { command: [BUSYBOX], args: command.length > 0 ? [...asShell(command)] : ['sh'] }
  }
}

/** `"$@"` keeps the words as they are. */
const asShell = (command: readonly string[]): readonly string[] => ['sh', '-c', '"$@"', 'sh', ...command]
