// A certificate authority for one test, made by openssl(1): servers and clients, also with certificates that must not be believed.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeOwnDirectory } from './belongings.ts'

/** PEM texts. */
export interface Identity {
  readonly key: string
  readonly cert: string
}

export interface IdentityOptions {
  /** As in subjectAltName. Default: 127.0.0.1 and localhost. */
  readonly names?: readonly string[]
  /** Its time is over. */
  readonly expired?: boolean
}

export interface Authority extends AsyncDisposable {
  /** PEM of the authority. */
  readonly certificate: string
  /** A key and a certificate for it, good for a day. */
  issue(options?: IdentityOptions): Promise<Identity>
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
const defaultNames = ['IP:127.0.0.1', 'DNS:localhost']

export async function createAuthority(): Promise<Authority> {
  const directory = makeOwnDirectory('coracle-tls-')
  const at = (name: string) => join(directory, name)
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args)
  const ca = ['-CA', at('ca.pem'), '-CAkey', at('ca.key')]
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-days',
    '1',
    '-subj',
    '/CN=test authority',
  )
  let serial = 0
  return {
    certificate: readFileSync(at('ca.pem'), 'utf8'),
    async issue({ names = defaultNames, expired = false } = {}) {
      const [key, request, certificate, extensions] = ['key', 'csr', 'pem', 'ext'].map((end) => at(`${++serial}.${end}`)) as [
        string,
        string,
        string,
        string,
      ]
      writeFileSync(extensions, `subjectAltName=${names.join(',')}\nbasicConstraints=critical,CA:FALSE\n`)
      await openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', '/CN=test')
      const days = expired ? '-1' : '1'
      await openssl('x509', '-req', '-in', request, ...ca, '-days', days, '-extfile', extensions, '-out', certificate)
      return { key: readFileSync(key, 'utf8'), cert: readFileSync(certificate, 'utf8') }
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
