// Public keys that may have signed: PEM, from files or from the policy itself.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { CodedError, invalid } from '@coracle/base/errors'
import type { JsonObject } from '@coracle/base/parse-json'
import { listAt, stringAt } from '@coracle/oci-spec/json-fields'

/** Reads a file of the operator's, within a limit. */
export type KeySource = (path: string) => Promise<Buffer>

const maxKeys = 100
const smallestRsaBits = 2048
const curves = ['prime256v1', 'secp384r1', 'secp521r1']

/** Of keyPath, keyPaths, keyData or keyDatas. Throws `invalid_argument` naming the field, `failed_precondition` for an unreadable file. */
export async function loadKeys(path: string, entry: JsonObject, read: KeySource): Promise<readonly KeyObject[]> {
  const texts = (field: string): readonly string[] => {
    const value = entry[field]
    if (value === undefined) return []
    if (!field.endsWith('s')) return [stringAt(`${path}.${field}`, value)]
    return listAt(`${path}.${field}`, value, maxKeys).map((each, i) => stringAt(`${path}.${field}[${i}]`, each))
  }
  const files = [...texts('keyPath'), ...texts('keyPaths')]
  const inline = [...texts('keyData'), ...texts('keyDatas')]
  const keys = [
    ...(await Promise.all(files.map(async (file) => publicKey(`key ${file}`, await read(file))))),
    ...inline.map((text) => publicKey(`${path}.keyData`, Buffer.from(text, 'base64'))),
  ]
  if (keys.length === 0) throw invalid(`${path} names no key`)
  return keys
}

function publicKey(what: string, pem: Buffer): KeyObject {
  if (!/^\s*-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem.toString('latin1'))) throw invalid(`${what} is no public key in PEM form`)
  let key: KeyObject
  try {
    key = createPublicKey({ key: pem, format: 'pem' })
  } catch (err) {
    throw new CodedError('invalid_argument', `${what} is no public key`, { cause: err })
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const known =
    type === 'ed25519' ||
    (type === 'ec' && curves.includes(details?.namedCurve ?? '')) ||
    (type === 'rsa' && (details?.modulusLength ?? 0) >= smallestRsaBits)
  if (!known)
    throw invalid(`${what} must be an ECDSA key on P-256, P-384 or P-521, Ed25519, or RSA of at least ${smallestRsaBits} bits`)
  return key
}

/** Whether the key made the signature as cosign does: SHA-256, ECDSA in DER, RSA by PKCS #1 v1.5; Ed25519 over the bytes themselves. */
export function isSignedBy(key: KeyObject, payload: Buffer, signature: Buffer): boolean {
  try {
    if (key.asymmetricKeyType === 'ed25519') return verify(null, payload, key, signature)
    return verify('sha256', payload, key.asymmetricKeyType === 'ec' ? { key, dsaEncoding: 'der' } : key, signature)
  } catch {
    // A signature of a form that the key cannot have made.
    return false
  }
}
