// Keys about where images and writable layers lie.
import { absolute, allAbsolute } from './checks.ts'
import type { Key } from './keys.ts'

export const imageStoreKeys: readonly Key[] = [
  {
    path: 'images.root',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'Where images lie, perhaps on a disk of their own. Unset: images in the root directory. Change it only on a node without containers.',
  },
  {
    path: 'images.containers_root',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'Where the writable layers of containers lie, perhaps on a disk of their own. Unset: with the images.',
  },
  {
    path: 'images.additional_stores',
    type: 'strings',
    default: [],
    check: allAbsolute,
    doc: 'Read-only image stores in the layout of images.root, whose images are used where they lie. Never written to.',
  },
]
