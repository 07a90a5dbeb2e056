export { createHost, type HostOptions } from './create-host.ts'
export type * from './host.ts'
