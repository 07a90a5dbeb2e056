import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { blobName, recordName, skeletonName } from '../unpack/messages.ts'
import type { Trash } from './trash.ts'

const log = logger('image')

/** A staged layer and the files beside it. */
export const stagedParts = (path: string): readonly string[] => [path, recordName(path), skeletonName(path), blobName(path)]

/** Takes away what failed layers left in the staging directory; later, where the disk does not let it go now. */
export class Leftovers {
  readonly #trash: Pick<Trash, 'take'>
  readonly #left = new Set<string>()

  constructor(trash: Pick<Trash, 'take'>) {
    this.#trash = trash
  }

  async take(path: string): Promise<void> {
    this.#left.add(path)
    for (const part of stagedParts(path)) await this.#trash.take(part)
    this.#left.delete(path)
  }

  /** What could not be taken before. Never fails. */
  async takeAgain(): Promise<void> {
    for (const path of this.#left)
      await this.take(path).catch((err) => log.warn('staging not removed', { path, error: explain(err) }))
  }
}
