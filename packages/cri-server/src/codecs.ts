import { type ContainerConfig, ContainerConfigSchema, type PodSandboxConfig, PodSandboxConfigSchema } from '@coracle/cri-api'
import { create, fromBinary, toBinary } from '@coracle/cri-api/protobuf'
import type { Codec } from '@coracle/lifecycle'

/** Configurations are kept as protobuf bytes: unknown fields of newer callers survive, and nothing is lost in an echo. */
export const podConfigCodec: Codec<PodSandboxConfig> = {
  encode: (config) => toBinary(PodSandboxConfigSchema, create(PodSandboxConfigSchema, config)),
  decode: (bytes) => fromBinary(PodSandboxConfigSchema, bytes),
}

export const containerConfigCodec: Codec<ContainerConfig> = {
  encode: (config) => toBinary(ContainerConfigSchema, create(ContainerConfigSchema, config)),
  decode: (bytes) => fromBinary(ContainerConfigSchema, bytes),
}
