import { failed } from '@coracle/base/errors'
import { removeContainer } from '../container/remove.ts'
import { isPodVisible, podTitle } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { forgetPod } from './release.ts'
import { lockPod, stopLockedPod } from './stop.ts'

/** Stops the pod if need be, removes its containers, its files and its record. Unknown: succeeds. */
export async function removePod(services: Services, id: string): Promise<void> {
  const found = services.pods.find(id)
  if (found === undefined || !isPodVisible(found)) return
  using _lock = await lockPod(services, found.id)
  if (services.pods.find(found.id) === undefined) return
  await stopLockedPod(services, found.id)
  const pod = services.pods.get(found.id)
  try {
    const containers = [...services.containers.all()].filter(({ podId }) => podId === pod.id)
    await Promise.all(containers.map((container) => removeContainer(services, container.id)))
    await forgetPod(services, pod)
  } catch (err) {
    throw failed(`remove pod sandbox ${podTitle(pod.config)} (${pod.id})`, err)
  }
}
