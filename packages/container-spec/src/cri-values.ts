// The CRI's enum values as numbers: this room imports the contract as types only, and the compiler checks each value against it.
import type {
  MountPropagation,
  NamespaceMode,
  Protocol,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from '@coracle/cri-api'

export const namespaceMode = { pod: 0, container: 1, node: 2, target: 3 } as const satisfies Record<string, NamespaceMode>
export const propagation = { private: 0, hostToContainer: 1, bidirectional: 2 } as const satisfies Record<
  string,
  MountPropagation
>
export const profileType = { runtimeDefault: 0, unconfined: 1, localhost: 2 } as const satisfies Record<
  string,
  SecurityProfile_ProfileType
>
export const groupsPolicy = { merge: 0, strict: 1 } as const satisfies Record<string, SupplementalGroupsPolicy>
export const protocol = { tcp: 0, udp: 1, sctp: 2 } as const satisfies Record<string, Protocol>
