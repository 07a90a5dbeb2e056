export type { OciRuntimeDeps, OciRuntimeOptions, RuntimeKind, RuntimeTimeouts } from './context.ts'
export { createOciRuntime } from './create-oci-runtime.ts'
export type * from './oci-runtime.ts'
export { OciRuntimeError } from './words.ts'
