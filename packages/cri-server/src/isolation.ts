// Coracle's own addition beside the CRI: how a container is confined, as the kernel says.
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ContainerIsolationResponseSchema, Isolation as IsolationService } from '@coracle/cri-api/isolation'
import { Vantage } from '@coracle/cri-api/isolation'
import type { MountInfo, OpenDescriptor, Rlimit } from '@coracle/host'
import { type ContainerIsolation, containerIsolation } from '@coracle/lifecycle'
import type { RouteDeps } from './deps.ts'
import { parseId } from './parse.ts'
import type { Handlers } from './service.ts'

type Response = MessageInitShape<typeof ContainerIsolationResponseSchema>

export const isolationRoutes = ({ services }: Pick<RouteDeps, 'services'>): Handlers<typeof IsolationService> => ({
  containerIsolation: ({ containerId }) => toResponse(containerIsolation(services, parseId('container_id', containerId))),
})

export function toResponse(found: ContainerIsolation): Response {
  return {
    containerId: found.containerId,
    runtimeHandler: found.handler,
    pid: found.pid,
    vantage: found.vantage === 'sandbox' ? Vantage.SANDBOX : Vantage.CONTAINER,
    namespaces: Object.entries(found.namespaces).map(([type, inode]) => ({
      type,
      inode,
      sharedWith: found.sharedWith[type as keyof typeof found.sharedWith] ?? 'own',
    })),
    uids: found.uids,
    gids: found.gids,
    groups: [...found.groups],
    uidMap: [...found.uidMap],
    gidMap: [...found.gidMap],
    capabilities: mutable(found.capabilities),
    noNewPrivileges: found.noNewPrivileges,
    seccomp: found.seccomp,
    label: found.label,
    maskedPaths: [...found.maskedPaths],
    readonlyPaths: [...found.readonlyPaths],
    mounts: found.mounts.map(mount),
    cgroups: found.cgroups.map(({ controllers, ...rest }) => ({ ...rest, controllers: [...controllers] })),
    devices: {
      rules: [...found.devices.rules],
      ...(found.devices.programs === undefined ? {} : { programs: found.devices.programs }),
    },
    rlimits: found.rlimits.map(rlimit),
    oomScoreAdj: found.oomScoreAdj,
    descriptors: found.descriptors.map(descriptor),
  }
}

const mutable = ({ effective, permitted, inheritable, bounding, ambient }: ContainerIsolation['capabilities']) => ({
  effective: [...effective],
  permitted: [...permitted],
  inheritable: [...inheritable],
  bounding: [...bounding],
  ambient: [...ambient],
})

const mount = ({ target, type, source, root, options, propagation }: MountInfo) => ({
  ...{ target, type, source, root },
  flags: [...options],
  propagation: propagationWords(propagation),
})

/** As mount_namespaces(7) calls them, without the numbers of peer groups. */
function propagationWords(fields: readonly string[]): string {
  const words = fields.flatMap((field) => {
    if (field.startsWith('shared:')) return ['shared']
    if (field.startsWith('master:')) return ['slave']
    return field === 'unbindable' ? ['unbindable'] : []
  })
  return words.length === 0 ? 'private' : words.join(' ')
}

const rlimit = ({ name, soft, hard }: Rlimit) => ({ name, soft: `${soft ?? 'unlimited'}`, hard: `${hard ?? 'unlimited'}` })

const descriptor = ({ fd, target, readable, writable, outside }: OpenDescriptor) => ({
  fd,
  target,
  access: `${readable ? 'r' : ''}${writable ? 'w' : ''}`,
  outside,
})
