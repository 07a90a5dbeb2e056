// Coracle's own service on the CRI socket: the progress of a pull. A door of its own, so that commands which do not pull do
// not load it.
export * from './gen/coracle_pb.js'
