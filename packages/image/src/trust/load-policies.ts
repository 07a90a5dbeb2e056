// The operator's signature policies: one for the node, and one for each namespace that has a file of its own.
import { open, readdir } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, failed, invalid, precondition } from '@coracle/base/errors'
import { acceptAnything, maxPolicyBytes, type Policy, parsePolicy } from './policy.ts'

export interface SignaturePolicies {
  readonly node: Policy
  readonly byNamespace: ReadonlyMap<string, Policy>
}

export interface PolicyFiles {
  /** Must be there. Undefined: the one of the containers tools, and without it everything is accepted. */
  readonly path: string | undefined
  /** NAMESPACE.json each. */
  readonly directory: string | undefined
}

export const acceptingPolicies: SignaturePolicies = { node: acceptAnything, byNamespace: new Map() }

const usualPath = '/etc/containers/policy.json'
const maxKeyBytes = 64 * 1024
const namespacePattern = /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.json$/

/** Keys are read too. Throws `failed_precondition` or `invalid_argument` naming the file: half a policy is none. */
export async function loadPolicies({ path, directory }: PolicyFiles): Promise<SignaturePolicies> {
  const node = (await readPolicy(path ?? usualPath)) ?? (path === undefined ? acceptAnything : undefined)
  if (node === undefined) throw precondition(`signature policy ${path} does not exist`)
  return { node, byNamespace: directory === undefined ? new Map() : await readNamespaces(directory) }
}

async function readNamespaces(directory: string): Promise<ReadonlyMap<string, Policy>> {
  const policies = new Map<string, Policy>()
  let names: readonly string[]
  try {
    names = await readdir(directory)
  } catch (err) {
    throw new CodedError('failed_precondition', `read the signature policies of namespaces in ${directory}`, { cause: err })
  }
  for (const name of names) {
    const namespace = namespacePattern.exec(name)?.[1]
    if (namespace === undefined) throw precondition(`${join(directory, name)} must be named NAMESPACE.json`)
    const policy = await readPolicy(join(directory, name))
    if (policy !== undefined) policies.set(namespace, policy)
  }
  return policies
}

async function readPolicy(path: string): Promise<Policy | undefined> {
  try {
    const bytes = await readLimited(path, maxPolicyBytes)
    return bytes === undefined ? undefined : await parsePolicy(bytes, readKey)
  } catch (err) {
    throw failed(`signature policy ${path}`, err)
  }
}

async function readKey(path: string): Promise<Buffer> {
  if (!isAbsolute(path)) throw invalid(`key path ${path} must be absolute`)
  const bytes = await readLimited(path, maxKeyBytes)
  if (bytes === undefined) throw precondition(`key ${path} does not exist`)
  return bytes
}

async function readLimited(path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > maxBytes) throw invalid(`${path} has ${size} bytes, more than ${maxBytes}`)
    return await file.readFile()
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined
    if (err instanceof CodedError) throw err
    throw new CodedError('failed_precondition', `read ${path}`, { cause: err })
  }
}
