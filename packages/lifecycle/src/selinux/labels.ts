// Which SELinux labels a pod and its containers have: one level a pod, nobody else's, free again with the pod's record.
import { randomInt } from 'node:crypto'
import { logger } from '@coracle/base/log'
import { podLevel, podLevels, type SelinuxLabels, type SelinuxPolicy, selinuxLabels } from '@coracle/container-spec'
import type { ContainerConfig, PodSandboxConfig } from '@coracle/cri-api'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import type { Relabeler } from './relabeler.ts'

const log = logger('selinux')

/** SELinux where the kernel has it and it is to be used. */
export interface Selinux extends Relabeler {
  /** What the node's policy calls containers. Throws `failed_precondition` where no policy for containers is installed. */
  policy(): SelinuxPolicy
  /** Labels one file of our own. */
  setLabel(path: string, label: string): void
}

/** The level of a new pod: the one it asks for, else one that no pod of this node has. Throws for options that are none. */
export function levelFor(services: Pick<Services, 'pods' | 'selinux'>, config: PodSandboxConfig): string | undefined {
  if (services.selinux === undefined) return undefined
  const options = config.linux?.securityContext?.selinuxOptions
  const taken = new Set([...services.pods.all()].map((pod) => pod.selinuxLevel))
  let index = randomInt(podLevels)
  while (taken.has(podLevel(index))) index++
  const level = podLevel(index)
  selinuxLabels({ policy: services.selinux.policy(), options, privileged: false, podLevel: level })
  return options === undefined || options.level === '' ? level : options.level
}

/** Of the pod's own things: its init, shared memory and files. Undefined where SELinux is not used. */
export function podLabels(services: Services, pod: Pod): SelinuxLabels | undefined {
  const security = pod.config.linux?.securityContext
  return labels(services, pod, { options: security?.selinuxOptions, privileged: security?.privileged === true })
}

/** Options of the container, else of its pod. Where SELinux is not used they mean nothing, as on every such node. */
export function containerLabels(services: Services, pod: Pod, config: ContainerConfig): SelinuxLabels | undefined {
  const security = config.linux?.securityContext
  const options = security?.selinuxOptions
  if (services.selinux === undefined && options !== undefined)
    log.warn('selinux_options have no effect: this node does not use SELinux', { podId: pod.id, name: config.metadata?.name })
  return labels(services, pod, {
    options: options ?? pod.config.linux?.securityContext?.selinuxOptions,
    privileged: security?.privileged === true,
  })
}

function labels(
  { selinux }: Services,
  pod: Pod,
  wanted: Pick<Parameters<typeof selinuxLabels>[0], 'options' | 'privileged'>,
): SelinuxLabels | undefined {
  if (selinux === undefined) return undefined
  // A pod that was made before SELinux was switched on has none: s0 is what all may read.
  return selinuxLabels({ ...wanted, policy: selinux.policy(), podLevel: pod.selinuxLevel ?? 's0' })
}

/** As the image room takes it. */
export const mountLabel = (found: SelinuxLabels | undefined): { readonly mountLabel?: string } =>
  found === undefined ? {} : { mountLabel: found.mountLabel }

/** Mount options that label everything in a file system of our own. */
export const contextOption = (found: SelinuxLabels | undefined): readonly string[] =>
  found === undefined ? [] : [`context="${found.mountLabel}"`]
