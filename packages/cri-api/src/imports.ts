// Coracle's own service on the CRI socket: how far imports are.
export * from './gen/coracle_imports_pb.js'
