import type { ImageFilter } from '@coracle/cri-api'
import type { Image, Images } from '@coracle/image'

/** All images, or the one that the filter names. */
export function selectImages(images: Images, filter: ImageFilter | undefined): readonly Image[] {
  const name = filter?.image?.image ?? ''
  if (name === '') return images.list()
  const image = images.find(name)
  return image === undefined ? [] : [image]
}
