// Coracle's own service on the CRI socket: images into the store and out of it.
export * from './gen/coracle_moving_pb.js'
