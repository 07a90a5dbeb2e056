// The host's devices that a container asks for, by path and by CDI name.
import { logger } from '@coracle/base/log'
import { type CdiEdits, cdiAnnotations, cdiDevicePaths, cdiRequests, cleanPath, resolveCdi } from '@coracle/container-spec'
import type { ContainerConfig } from '@coracle/cri-api'
import type { LinuxDevice } from '@coracle/oci-spec/runtime-spec'
import type { Services } from '../services.ts'

const log = logger('lifecycle')

/** What its CDI devices ask for; undefined when it has none, or CDI is off and the spec builder refuses them. */
export function cdiEdits(services: Services, config: ContainerConfig): CdiEdits | undefined {
  const annotated = cdiAnnotations(config)
  if (services.cdi?.annotations !== true && annotated.length > 0) {
    log.warn('annotations that name CDI devices have no effect: cdi.annotations is off', {
      container: config.metadata?.name,
      annotations: annotated,
    })
  }
  if (services.cdi === undefined) return undefined
  const requests = cdiRequests(services.cdi.annotations ? config : { ...config, annotations: {} })
  return requests.length === 0 ? undefined : resolveCdi(requests, services.cdi.index())
}

/** By clean path: those asked for (all in it for a directory), those whose numbers a CDI file leaves open (all of its, where nodes are `bound`), all of /dev for a privileged container. */
export function lookAtDevices(
  services: Services,
  { config, cdi, bound }: { config: ContainerConfig; cdi: CdiEdits | undefined; bound: boolean },
): ReadonlyMap<string, LinuxDevice> {
  const devices = new Map<string, LinuxDevice>()
  const add = (found: readonly LinuxDevice[]) => {
    for (const device of found) devices.set(device.path, device)
  }
  if (config.linux?.securityContext?.privileged === true) add(services.hostDevices())
  for (const { hostPath } of config.devices) add(services.devicesAt(cleanPath(hostPath)))
  for (const path of cdi === undefined ? [] : cdiDevicePaths(cdi, bound)) add(services.devicesAt(path))
  return devices
}
