// Where a runtime other than ours is known to behave differently: the reason stands in the skipped test, the test stays.

export const product: 'coracle' | 'containerd' = process.env['CRI_PRODUCT'] === 'containerd' ? 'containerd' : 'coracle'

/** Of Debian 12's containerd, 1.6.20. */
const containerdLacks = {
  stopOfUnknown: 'containerd 1.6 answers NotFound to a stop of what it does not know',
  runtimeConfig: 'containerd 1.6 has no RuntimeConfig',
  runtimeHandlers: 'containerd 1.6 lists no runtime handlers in Status',
  streams: 'containerd 1.6 has no streaming lists',
  imageId: 'containerd 1.6 leaves ContainerStatus.image_id empty',
  containerUser: 'containerd 1.6 does not report the user of a container',
  updatePodResources: 'containerd 1.6 has no UpdatePodSandboxResources',
  joins: 'containerd 1.6 answers a retry in flight with an error: the name is reserved',
  duplicateCode: 'containerd 1.6 answers a duplicate name with code Unknown',
  stopShortening: 'containerd 1.6 does not shorten a stop that waits',
  stopSignalField: 'containerd 1.6 does not know ContainerConfig.stop_signal',
  invalidCodes: 'containerd 1.6 answers bad input with code Unknown, or takes it',
  metadataChecks: 'containerd 1.6 checks few of the required fields',
  hostPortConflict: 'containerd 1.6 leaves a taken host port to iptables, which takes it',
  createdUpdate: 'containerd 1.6 does not report the resources of a container that was not started',
  childOom: 'containerd 1.6 with cgroup v1 reports any OOM event of the cgroup only while it watches it',
  imageFilter: 'containerd 1.6 ignores the filter of ListImages',
  containerFilesystems: 'containerd 1.6 has no container file systems in ImageFsInfo',
  pullSharing: 'containerd 1.6 fetches manifests again for each pull of the same image',
  execCaps: 'containerd 1.6 has no cap on the output of ExecSync',
  logPathEscape: 'containerd 1.6 does not look at the log path',
  sysctlChecks: 'containerd 1.6 leaves the check of sysctls to runc',
  verboseOff: 'containerd 1.6 gives the info of Status without being asked',
  unimplemented: 'containerd 1.6 implements what we do not yet',
  notRunningCode: 'containerd 1.6 answers with code Unknown for a container in the wrong state',
  hostsFile: 'containerd 1.6 writes no name of the pod into its hosts file',
  plainStartError: 'containerd 1.6 answers with code Unknown when a program cannot be started',
  refuseBadReference: 'containerd 1.6 answers a bad image reference with code Unknown',
  socketMode: 'containerd sets the mode by its own configuration',
  parallelRemove: 'containerd 1.6 answers a removal in flight with an error',
  podContainers: 'containerd 1.6 has no container statuses in PodSandboxStatus',
  parallelStop: 'containerd 1.6 deletes the network once for each of several stops, and one may fail',
  safeProcPaths: 'containerd 1.6 takes empty lists of masked and read-only paths as a wish for none',
  verboseJson: 'containerd 1.6 has a value in the info of Status that is not JSON',
  execDrain: 'containerd 1.6 waits until every holder of the output has closed it',
  logBytes: 'containerd 1.6 drops the carriage return before a line feed',
  imageUserGroups: 'containerd 1.6 does not add the groups of the user that the image names',
  updateAtomic: 'containerd 1.6 with runc leaves the part of an update that succeeded',
  updateEnded: 'containerd 1.6 takes an update of a container that has ended',
  timeOrder: 'containerd 1.6 may note an end before the start when both come at once',
  pinsInState: 'containerd 1.6 keeps its network namespaces where the test cannot tell whose they are',
  cachedDel: 'containerd 1.6 deletes with the configuration of the day and forgets the address',
  ownProcess: 'this is about how coracled itself starts and ends',
  statsDetails: 'containerd 1.6 has no window of CPU use and no pod stats with cgroup v1, and lists ended containers',
  metrics: 'containerd 1.6 has no metrics over the CRI',
  events: 'containerd 1.6 has no GetContainerEvents',
} as const

export type Capability = keyof typeof containerdLacks

/** Options for node:test: skipped, with the reason, where the runtime under test is known to lack it. */
export const needs = (capability: Capability): { readonly skip: string | false } => ({
  skip: product === 'containerd' ? containerdLacks[capability] : false,
})
