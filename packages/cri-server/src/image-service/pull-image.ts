import { doing } from '@coracle/base/errors'
import type { ImageService, PodSandboxConfig } from '@coracle/cri-api'
import type { PullProgress } from '@coracle/image'
import { formatReference, type Reference } from '@coracle/oci-spec/reference'
import { credentialsOf } from '../convert/image.ts'
import type { RouteDeps } from '../deps.ts'
import { failureOf, recordPull } from '../pull-statistics.ts'
import type { Handler } from '../service.ts'
import { firstThatWorks } from './first-that-works.ts'
import { parseImageName } from './name.ts'

export function pullImage(deps: RouteDeps): Handler<(typeof ImageService)['method']['pullImage']> {
  return async ({ image: spec, auth, sandboxConfig }, { signal }) => {
    const name = parseImageName(spec)
    let over = false
    const pull = async (reference: Reference) => {
      const credentials = await doing(`pull image ${formatReference(reference)}`, () => credentialsOf(auth, reference.registry))
      const startedMs = performance.now()
      let latest: PullProgress | undefined
      const onProgress = (progress: PullProgress) => {
        // A download that was given up may still report.
        if (over) return
        latest = progress
        deps.progress.report(name, progress)
      }
      const record = (outcome: string) =>
        recordPull({ host: reference.registry, outcome, seconds: (performance.now() - startedMs) / 1000, ...fetched(latest) })
      try {
        const image = await deps.images.pull(
          {
            reference,
            onProgress,
            waiter: waiterOf(sandboxConfig),
            ...namespaceOf(sandboxConfig),
            ...(credentials === undefined ? {} : { credentials }),
          },
          signal,
        )
        record(fetched(latest).fetchedLayers === 0 ? 'present' : 'ok')
        return image
      } catch (err) {
        record(failureOf(signal.aborted ? signal.reason : err))
        throw err
      }
    }
    try {
      return { imageRef: (await firstThatWorks(deps.images.candidates(name), pull, signal)).id }
    } finally {
      over = true
      deps.progress.done(name)
    }
  }
}

function fetched(progress: PullProgress | undefined) {
  const layers = progress?.layers ?? []
  const done = layers.filter(({ state }) => state === 'done')
  return {
    fetchedLayers: done.length,
    reusedLayers: layers.filter(({ state }) => state === 'present').length,
    // Also of layers that were not finished.
    fetchedBytes: layers.reduce((sum, layer) => sum + (layer.state === 'present' ? 0 : layer.downloadedBytes), 0),
  }
}

const namespaceOf = (config: PodSandboxConfig | undefined): { namespace?: string } =>
  config?.metadata === undefined ? {} : { namespace: config.metadata.namespace }

// kubelet names the pod; a person at a command line has none.
const waiterOf = (config: PodSandboxConfig | undefined): string =>
  config?.metadata === undefined ? 'a client without a pod' : `${config.metadata.namespace}/${config.metadata.name}`
