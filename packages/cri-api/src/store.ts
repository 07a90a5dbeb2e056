// Coracle's own service on the CRI socket: the image store. A door of its own, loaded by those who ask.
export * from './gen/coracle_store_pb.js'
