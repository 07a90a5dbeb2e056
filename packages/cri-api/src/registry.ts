// Coracle's own service on the CRI socket: where an image would come from. A door of its own, so that other commands do not load it.
export * from './gen/coracle_registry_pb.js'
