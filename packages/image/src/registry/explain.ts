// What a pull would do, step by step, with the reason of each step: asked of every endpoint, downloaded from none.
import { explain } from '@coracle/base/errors'
import { within } from '@coracle/base/signals'
import { acceptedManifests, documentKind, isManifestType } from '@coracle/oci-spec/media-type'
import { formatReference, type Reference } from '@coracle/oci-spec/reference'
import type { Credentials } from '../images.ts'
import { createRegistryClient, type Exchange, isByTag, mayServe, type RegistryClient, type RegistryRequest } from './client.ts'
import { RegistryError } from './errors.ts'
import { notVerified, type PlannedEndpoint } from './plan.ts'
import type { Registries } from './registries.ts'
import type { NameCandidate } from './short-names.ts'

export interface ExplainRequest {
  readonly name: string
  /** Only configuration is looked at. */
  readonly offline: boolean
  readonly credentials?: Credentials
}

export interface ExplainedReference {
  readonly reference: string
  readonly chosenBy: string | undefined
  readonly endpoints: readonly ExplainedEndpoint[]
  readonly remarks: readonly string[]
  readonly error: string | undefined
  readonly digest: string | undefined
}

export interface ExplainedEndpoint {
  readonly url: string
  readonly host: string
  readonly repository: string
  readonly role: PlannedEndpoint['role']
  readonly chosenBy: readonly string[]
  readonly serves: 'tags and digests' | 'tags' | 'digests'
  readonly tls: 'none' | 'verified' | 'not verified'
  readonly tlsFiles: readonly string[]
  readonly proxy: string | undefined
  readonly credentials: string | undefined
  readonly exchanges: readonly ExplainedExchange[]
  readonly verdict: 'not asked' | 'used' | 'reserve' | 'failed'
  readonly reason: string
  readonly digest: string | undefined
  readonly mediaType: string | undefined
}

export interface ExplainedExchange {
  readonly method: string
  readonly what: string
  readonly status: number | undefined
  readonly error: string | undefined
  readonly httpVersion: string | undefined
  readonly ms: number
}

const endpointMs = 15_000
const needsDigest = 'is asked by digest only, and none is known'

/** Throws `invalid_argument` for what is no image name; all else that goes wrong is part of the answer. */
export async function explainPull(
  registries: Registries,
  request: ExplainRequest,
  signal: AbortSignal,
): Promise<readonly ExplainedReference[]> {
  const candidates = registries.candidates(request.name)
  return Promise.all(candidates.map((candidate) => explainReference(registries, { ...request, candidate }, signal)))
}

type Explaining = ExplainRequest & { readonly candidate: NameCandidate }

async function explainReference(registries: Registries, request: Explaining, signal: AbortSignal): Promise<ExplainedReference> {
  const { reference, from } = request.candidate
  const told = { reference: formatReference(reference), chosenBy: from }
  try {
    const plan = await registries.plan(reference, { offline: request.offline }, signal)
    const endpoints = request.offline
      ? plan.endpoints.map((planned) => described(planned, request, { verdict: 'not asked', reason: 'offline', exchanges: [] }))
      : await askAll(registries, { plan, request }, signal)
    const used = endpoints.find(({ verdict }) => verdict === 'used')
    return { ...told, endpoints, remarks: plan.remarks, error: undefined, digest: used?.digest }
  } catch (err) {
    signal.throwIfAborted()
    return { ...told, endpoints: [], remarks: [], error: explain(err), digest: undefined }
  }
}

interface Asking {
  readonly plan: Awaited<ReturnType<Registries['plan']>>
  readonly request: Explaining
}

async function askAll(registries: Registries, { plan, request }: Asking, signal: AbortSignal): Promise<ExplainedEndpoint[]> {
  const exchanges: Exchange[] = []
  // Without the tokens that are still good: the way to one is part of what is to be seen.
  const client = createRegistryClient(registries.sourceOf(plan, request.credentials), { observe: (one) => exchanges.push(one) })
  const explained: ExplainedEndpoint[] = []
  let digest: string | undefined = plan.reference.digest
  const ask = async (planned: PlannedEndpoint, before: ExplainedEndpoint | undefined): Promise<ExplainedEndpoint> => {
    exchanges.length = 0
    const skipped = skippedBecause(planned, { before, digest })
    const outcome = skipped ?? (await askOne(client, { planned, reference: plan.reference, digest }, signal))
    digest ??= outcome.digest
    return described(planned, request, { ...outcome, exchanges: exchanges.map(exchangeOf) })
  }
  try {
    for (const planned of plan.endpoints) explained.push(await ask(planned, explained.at(-1)))
    // Those that know digests only had to wait for one.
    for (const [i, planned] of plan.endpoints.entries())
      if (explained[i]?.reason === needsDigest && digest !== undefined) explained[i] = await ask(planned, explained[i - 1])
  } finally {
    client.close()
  }
  const first = explained.findIndex(({ verdict, serves }) => verdict === 'used' && serves !== 'digests')
  const isReserve = (i: number, { verdict, serves }: ExplainedEndpoint) => verdict === 'used' && i > first && serves !== 'tags'
  return explained.map((endpoint, i) => (isReserve(i, endpoint) ? { ...endpoint, verdict: 'reserve' } : endpoint))
}

interface Outcome {
  readonly verdict: ExplainedEndpoint['verdict']
  readonly reason: string
  readonly digest?: string | undefined
  readonly mediaType?: string | undefined
}

function skippedBecause(
  { endpoint }: PlannedEndpoint,
  { before, digest }: { readonly before: ExplainedEndpoint | undefined; readonly digest: string | undefined },
): Outcome | undefined {
  const answered = before?.exchanges.some(({ status }) => status !== undefined) === true
  if (endpoint.isPlainTwin === true && answered)
    return { verdict: 'not asked', reason: 'the same host speaks TLS: plain HTTP is for when it does not' }
  if (endpoint.serves === 'digests' && digest === undefined) return { verdict: 'not asked', reason: needsDigest }
  return undefined
}

interface OneEndpoint {
  readonly planned: PlannedEndpoint
  readonly reference: Reference
  readonly digest: string | undefined
}

async function askOne(
  client: RegistryClient,
  { planned, reference, digest }: OneEndpoint,
  signal: AbortSignal,
): Promise<Outcome> {
  const { endpoint } = planned
  const byTag = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`
  const path = mayServe(endpoint, byTag) ? byTag : `manifests/${digest}`
  if (!mayServe(endpoint, path)) return { verdict: 'not asked', reason: `is not asked for ${isByTag(path) ? 'tags' : 'digests'}` }
  const request: RegistryRequest = { path, headers: { accept: acceptedManifests }, signal: within(signal, endpointMs) }
  try {
    const head = await client.ask(endpoint, { ...request, method: 'HEAD' })
    head.destroy()
    // Some registries know no HEAD, or leave out of its answer what it is asked for.
    const isUseless = [400, 405, 501].includes(head.statusCode ?? 0) || (head.statusCode === 200 && !digestOf(head))
    const answer = isUseless ? await client.ask(endpoint, { ...request, method: 'GET' }) : head
    answer.destroy()
    return outcomeOf(answer, endpoint.credentialsProblem)
  } catch (err) {
    signal.throwIfAborted()
    const late = request.signal.aborted
      ? new RegistryError('stalled', `${endpoint.host} did not answer in ${endpointMs / 1000} s`)
      : err
    return { verdict: 'failed', reason: client.secrets.redact(explain(late)) }
  }
}

type Response = Awaited<ReturnType<RegistryClient['ask']>>

function digestOf({ headers }: Response): string | undefined {
  const digest = headers['docker-content-digest']
  return typeof digest === 'string' && /^sha(256|512):[0-9a-f]{64,128}$/.test(digest) ? digest : undefined
}

const reasons: Readonly<Record<number, string>> = {
  401: 'unauthorized: wants credentials, or others',
  403: 'denied: these credentials may not read the repository',
  404: 'does not have it, or hides it from these credentials',
  429: 'rate limited',
}

function outcomeOf(response: Response, problem: string | undefined): Outcome {
  const status = response.statusCode ?? 0
  if (status === 200) {
    const mediaType = response.headers['content-type']
    const useless = uselessBecause(mediaType)
    if (useless !== undefined) return { verdict: 'failed', reason: useless, mediaType }
    return { verdict: 'used', reason: 'has it', digest: digestOf(response), mediaType }
  }
  const reason = reasons[status] ?? (status >= 500 ? 'the server fails' : 'an answer that means nothing here')
  return { verdict: 'failed', reason: `${status}: ${reason}${problem === undefined ? '' : ` (${problem})`}` }
}

function uselessBecause(mediaType: string | undefined): string | undefined {
  if (documentKind(mediaType) === 'schema1') return 'has it as manifest schema 1, which is not supported'
  return isManifestType(mediaType) ? undefined : `answers with ${JSON.stringify(mediaType).slice(0, 100)}, not with a manifest`
}

function exchangeOf({ method, path, status, error, httpVersion, ms }: Exchange): ExplainedExchange {
  return { method, what: path, status, httpVersion, ms, error: error === undefined ? undefined : explain(error) }
}

function described(
  planned: PlannedEndpoint,
  { credentials, candidate }: Explaining,
  outcome: Outcome & { readonly exchanges: readonly ExplainedExchange[] },
): ExplainedEndpoint {
  const { endpoint, role, chosenBy, tlsFrom, proxy } = planned
  const names = { both: 'tags and digests', tags: 'tags', digests: 'digests' } as const
  const isUnverified = tlsFrom.includes(notVerified)
  return {
    url: endpoint.baseUrl,
    host: endpoint.host,
    repository: endpoint.repository ?? candidate.reference.repository,
    role,
    chosenBy,
    serves: names[endpoint.serves ?? 'both'],
    tls: endpoint.insecure ? 'none' : isUnverified ? 'not verified' : 'verified',
    tlsFiles: tlsFrom.filter((file) => file !== notVerified),
    proxy,
    credentials: credentialsOf(planned, { credentials, candidate }),
    exchanges: outcome.exchanges,
    verdict: outcome.verdict,
    reason: outcome.reason,
    digest: outcome.digest,
    mediaType: outcome.mediaType,
  }
}

function credentialsOf(
  { endpoint, credentialsFrom }: PlannedEndpoint,
  { credentials, candidate }: { readonly credentials: Credentials | undefined; readonly candidate: NameCandidate },
): string | undefined {
  if (credentials === undefined) return credentialsFrom
  if (endpoint.isOrigin) return 'the request'
  return credentialsFrom ?? `none: those of the request are for ${candidate.reference.registry}`
}
