// Coracle's own service on the CRI socket: why something hangs. A door of its own, so that commands which do not ask do not load it.
export * from './gen/coracle_why_pb.js'
