// Coracle's own addition beside the CRI: how far imports are.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Imports } from '@coracle/cri-api/imports'
import { parseDigest } from '@coracle/oci-spec/digest'
import type { RouteDeps } from './deps.ts'
import { layerOf } from './progress.ts'
import type { Handlers } from './service.ts'

const maxBlobs = 512
const maxNameLength = 512
const intervalMs = 200

/** Watchers are sent away when `closing` aborts. */
export const importsRoutes = ({ transfers }: Pick<RouteDeps, 'transfers'>, closing: AbortSignal): Handlers<typeof Imports> => ({
  describeImport({ importId, name, waiter, blobs }) {
    if (blobs.length > maxBlobs) throw invalid(`${blobs.length} blobs are more than ${maxBlobs}`)
    transfers.session(importId).describe({
      name: words('name', name),
      waiter: words('waiter', waiter),
      blobs: blobs.map(({ digest, size }) => ({ digest: parseDigest('digest', digest), size: Number(size) })),
    })
    return {}
  },
  watchImport: async function* ({ importId }, { signal }) {
    const session = transfers.session(importId)
    let told: string | undefined
    while (!signal.aborted && !closing.aborted) {
      const status = session.status()
      const now = JSON.stringify(status?.layers)
      if (status !== undefined && now !== told) yield { image: status.image, layers: status.layers.map(layerOf) }
      told = now
      if (!transfers.isOpen(importId)) return
      await new Promise<void>((resolve) => setTimeout(resolve, intervalMs))
    }
  },
})

/** Shown on terminals of others: one line, nothing that steers them. */
function words(field: string, text: string): string {
  if (text === '' || text.length > maxNameLength || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text))
    throw invalid(`${field} ${quote(text)} must be one line of 1 to ${maxNameLength} characters`)
  return text
}
