// Coracle's own service on the CRI socket: all pulls under way. A door of its own, so that commands which do not ask do not load it.
export * from './gen/coracle_pulls_pb.js'
