export type * from './cni.ts'
export { type CniDeps, type CniOptions, createCni } from './create.ts'
export { CniError } from './errors.ts'
