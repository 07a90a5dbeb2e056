// Directories of certificates by host, as docker and the containers tools have them: *.crt authorities, *.cert and *.key of a client
// (containers-certs.d(5)).
import { basename } from 'node:path'
import { invalid } from '@coracle/base/errors'
import { hostOfRegistry } from '../endpoints.ts'
import type { TlsSettings } from '../tls.ts'
import { readHostsFile } from './hosts-toml.ts'
import { listFiles, readText } from './last-good.ts'

export interface HostCertificates {
  /** `host[:port]`. */
  readonly host: string
  readonly tls: TlsSettings
  readonly files: readonly string[]
  /** Why nothing of this host can be used: that is no trouble of the others. */
  readonly problem?: string
}

/** Docker Hub's may be named after it or after the host that serves it. */
export const hostOfDirectory = (path: string): string => hostOfRegistry(basename(path).replace(/_(\d+)_$/, ':$1'))

/** Those in the directory of one host; undefined: none. Throws `invalid_argument` for a certificate without its key. */
export function readCertificates(path: string): HostCertificates | undefined {
  // containerd's tree has the same files, where no hosts.toml says more.
  if (basename(path) === '_default' || readHostsFile(path) !== undefined) return undefined
  const files = listFiles(path)
  const tls = tlsOf(files)
  if (tls === undefined) return undefined
  return { host: hostOfDirectory(path), tls, files: files.filter((file) => /\.(crt|cert|key)$/.test(file)) }
}

function tlsOf(files: readonly string[]): TlsSettings | undefined {
  const authorities = files.filter((file) => file.endsWith('.crt')).map((file) => readText(file) ?? '')
  const certificateFile = files.find((file) => file.endsWith('.cert'))
  const keyFile = certificateFile?.replace(/cert$/, 'key')
  const orphan = files.find((file) => file.endsWith('.key') && !files.includes(file.replace(/key$/, 'cert')))
  if (certificateFile !== undefined && !files.includes(keyFile ?? ''))
    throw invalid(`${certificateFile} has no key: expected ${keyFile}`)
  if (orphan !== undefined) throw invalid(`${orphan} has no certificate: expected ${orphan.replace(/key$/, 'cert')}`)
  if (authorities.length === 0 && certificateFile === undefined) return undefined
  return { authorities, ...readPair(certificateFile, keyFile) }
}

/** Certificate and key as TlsSettings has them; a file that has both needs no other, as containerd's lists of such files have it. */
export function readPair(
  certificateFile: string | undefined,
  keyFile: string | undefined,
): Pick<TlsSettings, 'certificate' | 'key'> {
  if (certificateFile === undefined || keyFile === undefined) return {}
  const certificate = required(certificateFile)
  return { certificate, key: certificate.includes('PRIVATE KEY-----') ? certificate : required(keyFile) }
}

/** Throws `invalid_argument` for an absent file. */
export function required(path: string): string {
  const text = readText(path)
  if (text === undefined) throw invalid(`${path} does not exist`)
  return text
}
