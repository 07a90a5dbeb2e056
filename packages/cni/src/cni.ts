// What the CNI room hands out (CNI spec 1.1, https://github.com/containernetworking/cni/blob/main/SPEC.md).

export interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** Empty: all addresses. */
  readonly hostIP: string
}

/** One pod's network: plain data, kept in the pod's record so that DEL works with what ADD was given. */
export interface Attachment {
  /** CNI_CONTAINERID: the pod id. */
  readonly containerId: string
  /** CNI_NETNS. Empty for DEL after a reboot. */
  readonly netns: string
  readonly podName: string
  readonly podNamespace: string
  readonly podUid: string
  readonly capabilities: Capabilities
}

/** Arguments handed to plugins that declare the capability (CNI conventions, "dynamic plugin specific fields"). */
export interface Capabilities {
  readonly portMappings?: readonly PortMapping[]
  readonly bandwidth?: {
    readonly ingressRate: number
    readonly ingressBurst: number
    readonly egressRate: number
    readonly egressBurst: number
  }
  readonly dns?: {
    readonly servers: readonly string[]
    readonly searches: readonly string[]
    readonly options: readonly string[]
  }
  /** The pod's cgroup, for plugins that account or filter by it. */
  readonly cgroupPath?: string
  /** Capability `io.kubernetes.cri.pod-annotations`. */
  readonly podAnnotations?: Readonly<Record<string, string>>
  readonly ipRanges?: readonly (readonly { readonly subnet: string }[])[]
}

export interface NetworkResult {
  /** Without prefix length, one per family first, in the order of the plugins' result. */
  readonly ips: readonly string[]
  /** The name of the pod's interface. */
  readonly interfaceName: string
  /** The last result as JSON, for verbose status. */
  readonly raw: string
}

export type NetworkStatus = { readonly ready: true } | { readonly ready: false; readonly reason: string }

export interface Cni {
  /** From memory: kept up to date by watching the configuration directory. Never blocks. */
  status(): NetworkStatus
  /**
   * ADD through the whole list. The configuration is cached on disk before the first plugin runs, the result before it returns.
   * Throws `unavailable` with the reason when there is no network, `already_exists` for a host port that another pod or a process of
   * the host has, `invalid_argument` for names that would change CNI_ARGS, and CniError with the plugin's own words. After a failure
   * `del` must be called: plugins may have allocated.
   */
  add(attachment: Attachment, signal: AbortSignal): Promise<NetworkResult>
  /** DEL with the configuration cached at ADD, under its own deadline (60 s), also when ADD failed or the netns is gone. Never attached: succeeds. */
  del(attachment: Attachment): Promise<void>
  check(attachment: Attachment, signal: AbortSignal): Promise<void>
  /**
   * Releases what is cached and not in `valid`, then tells the plugins which attachments are valid (GC; networks below 1.1.0 are
   * not told). What this process has attached is valid in any case. Used at start.
   */
  gc(valid: readonly Attachment[], signal: AbortSignal): Promise<void>
  close(): void
}
