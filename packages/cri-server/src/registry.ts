// Coracle's own addition beside the CRI: where an image would come from.
import type { MessageInitShape } from '@bufbuild/protobuf'
import { invalid } from '@coracle/base/errors'
import { EndpointVerdict, type ExplainedReferenceSchema, type Registry } from '@coracle/cri-api/registry'
import type { ExplainedEndpoint, ExplainedReference } from '@coracle/image'
import type { RouteDeps } from './deps.ts'
import type { Handlers } from './service.ts'

type ReferenceInit = Extract<MessageInitShape<typeof ExplainedReferenceSchema>, { $typeName?: never }>

const verdicts: Readonly<Record<ExplainedEndpoint['verdict'], EndpointVerdict>> = {
  'not asked': EndpointVerdict.NOT_ASKED,
  used: EndpointVerdict.USED,
  reserve: EndpointVerdict.RESERVE,
  failed: EndpointVerdict.FAILED,
}

export const registryRoutes = (deps: Pick<RouteDeps, 'images'>): Handlers<typeof Registry> => ({
  explainPull: async ({ image, offline, username, password }, { signal }) => {
    if (image === '') throw invalid('image must not be empty')
    const credentials = username === '' ? {} : { credentials: { username, password } }
    const references = await deps.images.explainPull({ name: image, offline, ...credentials }, signal)
    return { image, references: references.map(referenceOf) }
  },
})

function referenceOf(reference: ExplainedReference): ReferenceInit {
  return {
    reference: reference.reference,
    chosenBy: reference.chosenBy ?? '',
    remarks: [...reference.remarks],
    error: reference.error ?? '',
    digest: reference.digest ?? '',
    endpoints: reference.endpoints.map((endpoint) => ({
      ...endpoint,
      chosenBy: [...endpoint.chosenBy],
      tlsFiles: [...endpoint.tlsFiles],
      proxy: endpoint.proxy ?? '',
      credentials: endpoint.credentials ?? '',
      exchanges: endpoint.exchanges.map(({ method, what, status, error, httpVersion, ms }) => ({
        ...{ method, what, status: status ?? 0, error: error ?? '', httpVersion: httpVersion ?? '', elapsedMs: ms },
      })),
      verdict: verdicts[endpoint.verdict],
      digest: endpoint.digest ?? '',
      mediaType: endpoint.mediaType ?? '',
    })),
  }
}
