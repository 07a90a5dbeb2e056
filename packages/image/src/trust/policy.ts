// What may enter the store: containers-policy.json(5) of the containers tools. Read strictly: a policy that is misread protects nobody.
import type { KeyObject } from 'node:crypto'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import { listAt, objectAt, refuseDuplicateKeys, stringAt } from '@coracle/oci-spec/json-fields'
import { withPlainHost } from '@coracle/oci-spec/reference'
import { parseIdentity, type SignedIdentity } from './identity.ts'
import { type KeySource, loadKeys } from './keys.ts'

export type Requirement =
  | { readonly kind: 'insecureAcceptAnything' }
  | { readonly kind: 'reject' }
  /** One of the keys must have signed. */
  | { readonly kind: 'sigstoreSigned'; readonly keys: readonly KeyObject[]; readonly identity: SignedIdentity }
  /** Something that cannot be checked here: nothing satisfies it. */
  | { readonly kind: 'unsupported'; readonly why: string }

/** All of a list must be satisfied. */
export type Requirements = readonly Requirement[]

export interface Policy {
  readonly default: Requirements
  /** By transport, then by scope; the scope `` is the transport's own default. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, Requirements>>
}

export const acceptAnything: Policy = { default: [{ kind: 'insecureAcceptAnything' }], transports: new Map() }

export const maxPolicyBytes = 1024 * 1024
const maxScopes = 10_000

/** Throws `invalid_argument` naming the field. `read` reads the file of a key. */
export async function parsePolicy(bytes: Buffer, read: KeySource): Promise<Policy> {
  const json = parseJson('policy', bytes, { maxBytes: maxPolicyBytes, maxDepth: 16 })
  refuseAllDuplicates(bytes)
  const document = objectAt('policy', json)
  onlyKeys('policy', document, ['default', 'transports'])
  const transports = new Map<string, ReadonlyMap<string, Requirements>>()
  for (const [name, scopes] of Object.entries(objectAt('transports', document['transports'] ?? {}))) {
    const byScope = new Map<string, Requirements>()
    const entries = Object.entries(objectAt(`transports.${name}`, scopes))
    if (entries.length > maxScopes) throw invalid(`transports.${name} has more than ${maxScopes} scopes`)
    for (const [scope, value] of entries) {
      if (name === 'docker') checkScope(scope)
      const key = name === 'docker' ? withPlainHost(scope) : scope
      if (byScope.has(key)) throw invalid(`transports.${name} has the scope ${quote(key)} twice`)
      byScope.set(key, await requirementsAt(`transports.${name}[${quote(scope)}]`, value, read))
    }
    transports.set(name, byScope)
  }
  return { default: await requirementsAt('default', document['default'], read), transports }
}

async function requirementsAt(path: string, value: unknown, read: KeySource): Promise<Requirements> {
  const list = listAt(path, value, 100)
  if (list.length === 0) throw invalid(`${path} must not be empty: say reject or insecureAcceptAnything`)
  return Promise.all(list.map((entry, i) => requirementAt(`${path}[${i}]`, entry, read)))
}

async function requirementAt(path: string, value: unknown, read: KeySource): Promise<Requirement> {
  const entry = objectAt(path, value)
  const type = stringAt(`${path}.type`, entry['type'])
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      onlyKeys(path, entry, ['type'])
      return { kind: type }
    case 'sigstoreSigned':
      return sigstoreAt(path, entry, read)
    case 'signedBy':
      return {
        kind: 'unsupported',
        why: 'signedBy asks for a GPG signature, which is not supported: use sigstoreSigned with a key',
      }
    default:
      throw invalid(`${path}.type ${quote(type)} must be insecureAcceptAnything, reject, sigstoreSigned or signedBy`)
  }
}

const keyFields = ['keyPath', 'keyPaths', 'keyData', 'keyDatas']
/** What keyless signing and transparency logs need. */
const onlineFields = ['fulcio', 'pki', 'rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas']

async function sigstoreAt(path: string, entry: JsonObject, read: KeySource): Promise<Requirement> {
  onlyKeys(path, entry, ['type', 'signedIdentity', ...keyFields, ...onlineFields])
  const online = onlineFields.filter((field) => entry[field] !== undefined)
  // Leaving it out would accept what the operator wants to see refused.
  if (online.length > 0)
    return { kind: 'unsupported', why: `sigstoreSigned with ${online.join(', ')} is not supported: only signatures by keys are` }
  const given = keyFields.filter((field) => entry[field] !== undefined)
  if (given.length !== 1) throw invalid(`${path} must have exactly one of ${keyFields.join(', ')}`)
  const keys = await loadKeys(path, entry, read)
  return { kind: 'sigstoreSigned', keys, identity: parseIdentity(`${path}.signedIdentity`, entry['signedIdentity']) }
}

/** Throws for a key that is not among `known`: a misspelt one would be without effect. */
export function onlyKeys(path: string, object: JsonObject, known: readonly string[]): void {
  for (const key of Object.keys(object))
    if (!known.includes(key)) throw invalid(`${path} has the unknown key ${quote(key)}: expected ${known.join(', ')}`)
}

// `host`, `*.host`, `host/path`, with a tag or digest behind.
function checkScope(scope: string): void {
  if (scope === '') return
  const isWildcard = scope.startsWith('*.')
  const rest = isWildcard ? scope.slice(2) : scope
  if (rest === '' || rest.includes('*') || rest.includes('//') || /[\s\0]/.test(rest) || rest.endsWith('/'))
    throw invalid(`transports.docker has the bad scope ${quote(scope)}`)
  if (isWildcard && rest.includes('/')) throw invalid(`transports.docker scope ${quote(scope)}: a wildcard stands for hosts only`)
}

function refuseAllDuplicates(bytes: Buffer): void {
  const names = new Set<string>()
  const collect = (value: unknown): void => {
    if (Array.isArray(value)) for (const each of value) collect(each)
    else if (isObject(value))
      for (const [key, inner] of Object.entries(value)) {
        names.add(key)
        collect(inner)
      }
  }
  const text = bytes.toString('utf8')
  collect(JSON.parse(text))
  refuseDuplicateKeys('policy', text, names)
}
