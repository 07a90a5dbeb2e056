// The one door to the CRI messages: generated types, schemas and the two service descriptors, and a client for them.

export { type CallOptions, type ConnectOptions, type CriClient, connect, type ServiceClient } from './client.ts'
export * from './gen/runtime_pb.js'
