// Coracle's own service on the CRI socket: how containers are confined. A door of its own, loaded by those who ask.
export * from './gen/coracle_isolation_pb.js'
