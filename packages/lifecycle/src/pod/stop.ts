import { explain, failed } from '@coracle/base/errors'
import { cleanupSignal } from '@coracle/base/signals'
import { stage } from '@coracle/base/stages'
import { isPodVisible, podTitle } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { releasePod } from './release.ts'

/**
 * Ends the pod's containers at once and gives back what it holds. Unknown and already stopped pods: succeeds.
 * Goes on when the caller leaves.
 */
export async function stopPod(services: Services, id: string): Promise<void> {
  const found = services.pods.find(id)
  if (found === undefined || !isPodVisible(found)) return
  await stage(['stop pod', ''], async () => {
    using _lock = await lockPod(services, found.id)
    await stopLockedPod(services, found.id)
  })
}

/** Throws `deadline_exceeded` when another stop or removal of the pod takes too long. */
export async function lockPod(services: Services, id: string): Promise<Disposable> {
  try {
    return await services.podLocks.lock(id, cleanupSignal(120_000))
  } catch (err) {
    throw failed(`wait for the stop of pod sandbox ${id} that is under way`, err)
  }
}

/** `stopPod` for a caller that holds the pod's lock. */
export async function stopLockedPod(services: Services, id: string): Promise<void> {
  const pod = services.pods.find(id)
  if (pod === undefined) return
  if (pod.state.kind === 'ready') services.pods.put({ ...pod, state: { kind: 'notReady' } })
  try {
    await releasePod(services, pod.id)
  } catch (err) {
    const left = services.pods.get(pod.id)
    services.pods.put({ ...left, state: { kind: 'unknown', reason: explain(err) } })
    throw failed(`stop pod sandbox ${podTitle(pod.config)} (${pod.id})`, err)
  }
  const released = services.pods.get(pod.id)
  if (released.state.kind !== 'notReady') services.pods.put({ ...released, state: { kind: 'notReady' } })
}
