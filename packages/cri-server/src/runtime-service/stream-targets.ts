import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { type Pod, requireAttachable, requireRunning, type Services } from '@coracle/lifecycle'
import { parseId } from '../parse.ts'

/** For streams an unknown id is a bad argument, as a kubelet expects. Throws `failed_precondition` when it is not running. */
export function runningContainerId(services: Services, id: string): string {
  return requireRunning(services, knownContainerId(services, id)).id
}

/** As `runningContainerId`, but one that is only created will do. */
export function attachableContainerId(services: Services, id: string): string {
  return requireAttachable(services, knownContainerId(services, id)).id
}

function knownContainerId(services: Services, id: string): string {
  if (services.containers.find(parseId('container_id', id)) === undefined) throw invalid(`container_id ${quote(id)} is unknown`)
  return id
}

export function knownPod(services: Services, id: string): Pod {
  const pod = services.pods.find(parseId('pod_sandbox_id', id))
  if (pod === undefined) throw invalid(`pod_sandbox_id ${quote(id)} is unknown`)
  return pod
}
