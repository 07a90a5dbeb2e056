export { isAllowed } from './annotations.ts'
export { apparmorProfileText, defaultApparmorName } from './apparmor-profile.ts'
export { defaultCapabilities, knownCapabilities } from './capabilities.ts'
export { applyCdi, cdiDevicePaths } from './cdi.ts'
export {
  type CdiFile,
  type CdiIndex,
  type CdiProblem,
  cdiAnnotations,
  cdiRequests,
  indexCdi,
  resolveCdi,
} from './cdi-index.ts'
export { type CdiEdits, type CdiSpec, parseCdiSpec } from './cdi-parse.ts'
export { cgroupsPath, ownScopePrefix } from './cgroup-path.ts'
export { hostPathsOf } from './host-paths.ts'
export { type InfraInput, infraSpec } from './infra.ts'
export { cleanPath, isWithin } from './paths.ts'
export { hostsFile, podHostname, resolvConf } from './pod-files.ts'
export { type ExecCommand, execProcess } from './process.ts'
export { mergeResources, oomScoreAdj, type ResourceHost, toLinuxResources } from './resources.ts'
export { seccompProfileOf } from './seccomp.ts'
export { defaultSeccomp } from './seccomp-default.ts'
export { localhostSeccomp, parseSeccomp, seccompMaxBytes } from './seccomp-file.ts'
export {
  checkRelabel,
  podLevel,
  podLevels,
  type SelinuxInput,
  type SelinuxLabels,
  type SelinuxPolicy,
  selinuxLabels,
} from './selinux.ts'
export { type CreatedSpec, createSpec } from './spec.ts'
export type { HostFacts, PodFacts, SourceFacts, SpecInput } from './spec-input.ts'
export { parseSignal, resolveStopSignal, stopSignalEnum, stopSignalWarning } from './stop-signal.ts'
export { checkSysctls, defaultSysctls, type OwnNamespaces, splitSysctls } from './sysctls.ts'
export { noUserNamespaces, podMappings, type UserMappings } from './user-namespace.ts'
export { validateContainerConfig } from './validate-container.ts'
export { validatePodConfig } from './validate-pod.ts'
export { checkSandboxedContainer, checkSandboxedPod } from './validate-sandboxed.ts'
export { type PlannedVolumes, planVolumes } from './volumes.ts'
