import type { RuntimeService } from '@coracle/cri-api'
import { cdiInfo } from '../cdi-info.ts'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { underWay } from '../why.ts'

/** Work younger than this is not worth a word. */
const slowMs = 1000

/** From memory: polled every five seconds, it must not wait for anything. */
export function status(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['status']> {
  const ready = (type: string, reason: string | undefined) => ({
    type,
    status: reason === undefined,
    reason: reason === undefined ? '' : `${type.replace('Ready', '')}NotReady`,
    message: reason ?? '',
  })
  return ({ verbose }) => {
    const network = deps.services.cni.status()
    return {
      status: {
        conditions: [ready('RuntimeReady', undefined), ready('NetworkReady', network.ready ? undefined : network.reason)],
      },
      runtimeHandlers: runtimeHandlers(deps),
      features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: hasUserNamespaces(deps), mountOptions: true },
      info: verbose ? infoOf(deps) : {},
    }
  }
}

const infoOf = (deps: RouteDeps) => ({
  config: deps.config(),
  state: stateOf(deps),
  cdi: cdiInfo(deps.services.cdi),
  underWay: JSON.stringify(underWay(slowMs)),
})

const hasUserNamespaces = ({ services }: RouteDeps): boolean =>
  [...services.runtimes.keys()].some((handler) => services.handlerSettings(handler).userNamespaceProblem === undefined)

function runtimeHandlers(deps: RouteDeps) {
  const features = deps.features()
  const names = ['', ...deps.services.runtimes.keys()]
  return names.map((name) => {
    const handler = name === '' ? deps.services.settings.defaultRuntime : name
    const found = features.get(handler)
    return {
      name,
      features: {
        recursiveReadOnlyMounts: found?.recursiveReadOnlyMounts ?? false,
        userNamespaces: deps.services.handlerSettings(handler).userNamespaceProblem === undefined,
      },
    }
  })
}

function stateOf({ services }: RouteDeps): string {
  return JSON.stringify({
    pods: services.pods.size,
    containers: services.containers.size,
    podsInFlight: services.podFlights.size,
    containersInFlight: services.containerFlights.size,
    stopsInFlight: services.stops.size,
    stuckPrograms: services.host.processes.stuck(),
    memory: process.memoryUsage(),
    handlers: [...services.runtimes.values()].map(({ handler, program }) => ({ handler, program })),
  })
}
