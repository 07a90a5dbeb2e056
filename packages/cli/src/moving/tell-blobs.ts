import type { CopyOptions } from '@coracle/image/moving'
import type { Screen } from '../print/screen.ts'
import { formatBytes } from '../quantities.ts'

/** A line for each blob of a copy, on standard error: the result alone is on standard output. */
export const tellBlobs =
  (screen: Screen, quiet: boolean): NonNullable<CopyOptions['onBlob']> =>
  (blob, state) => {
    if (!quiet)
      screen.line(`blob ${blob.digest.replace(/^sha\d+:/, '').slice(0, 12)} ${state}, ${formatBytes(BigInt(blob.size))}`)
  }
