import { invalid } from '@coracle/base/errors'
import type { ImageSpec } from '@coracle/cri-api'

/** The image's name in a request. Throws `invalid_argument` when there is none. */
export function parseImageName(spec: ImageSpec | undefined): string {
  if (spec === undefined || spec.image === '') throw invalid('image.image must not be empty')
  return spec.image
}
