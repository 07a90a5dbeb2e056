// The one door to the CRI messages: generated types, schemas and the two service descriptors.
export * from './gen/runtime_pb.js'
