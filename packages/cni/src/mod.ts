export type * from './cni.ts'
