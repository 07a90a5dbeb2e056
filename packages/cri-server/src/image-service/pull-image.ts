import type { ImageService } from '@coracle/cri-api'
import type { PullProgress } from '@coracle/image'
import { parseReference } from '@coracle/oci-spec/reference'
import { credentialsOf } from '../convert/image.ts'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { parseImageName } from './name.ts'

export function pullImage(deps: RouteDeps): Handler<(typeof ImageService)['method']['pullImage']> {
  return async ({ image: spec, auth }, { signal }) => {
    const name = parseImageName(spec)
    const reference = parseReference(name)
    const credentials = credentialsOf(auth, reference.registry)
    let over = false
    const onProgress = (progress: PullProgress) => {
      // A download that was given up may still report.
      if (!over) deps.progress.report(name, progress)
    }
    try {
      const image = await deps.images.pull(
        { reference, onProgress, ...(credentials === undefined ? {} : { credentials }) },
        signal,
      )
      return { imageRef: image.id }
    } finally {
      over = true
      deps.progress.done(name)
    }
  }
}
