import { failed } from '@coracle/base/errors'
import type { PodId } from '@coracle/base/ids'
import { stage } from '@coracle/base/stages'
import { removeContainer } from '../container/remove.ts'
import { isPodVisible, podTitle } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { forgetPod } from './release.ts'
import { lockPod, stopLockedPod } from './stop.ts'

/** Stops the pod if need be, removes its containers, its files and its record. Unknown: succeeds. */
export async function removePod(services: Services, id: string): Promise<void> {
  const found = services.pods.find(id)
  if (found === undefined || !isPodVisible(found)) return
  await stage(['remove pod', ''], () => stopAndRemove(services, found.id))
}

async function stopAndRemove(services: Services, id: PodId): Promise<void> {
  using _lock = await lockPod(services, id)
  if (services.pods.find(id) === undefined) return
  await stopLockedPod(services, id)
  const pod = services.pods.get(id)
  try {
    const containers = [...services.containers.all()].filter(({ podId }) => podId === pod.id)
    await Promise.all(containers.map((container) => removeContainer(services, container.id)))
    await forgetPod(services, pod)
  } catch (err) {
    throw failed(`remove pod sandbox ${podTitle(pod.config)} (${pod.id})`, err)
  }
}
