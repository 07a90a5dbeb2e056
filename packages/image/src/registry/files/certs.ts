// Directories of certificates by host, as docker and the containers tools have them: *.crt authorities, *.cert and *.key of a client
// (containers-certs.d(5)).
import { basename, join } from 'node:path'
import { invalid } from '@coracle/base/errors'
import type { TlsSettings } from '../tls.ts'
import { listFiles, readText } from './last-good.ts'

export interface HostCertificates {
  /** `host[:port]`. */
  readonly host: string
  readonly tls: TlsSettings
  readonly files: readonly string[]
}

/** Everything below one such directory. Throws `invalid_argument` for a certificate without its key. */
export function readCertificates(directory: string): readonly HostCertificates[] {
  return listFiles(directory).flatMap((path) => {
    // containerd's tree has the same files, where no hosts.toml says more.
    if (basename(path) === '_default' || readText(join(path, 'hosts.toml')) !== undefined) return []
    const files = listFiles(path)
    const tls = tlsOf(files)
    const host = basename(path).replace(/_(\d+)_$/, ':$1')
    return tls === undefined ? [] : [{ host, tls, files: files.filter((file) => /\.(crt|cert|key)$/.test(file)) }]
  })
}

/** The paths whose change means reading again. */
export const certificatePaths = (directory: string): readonly string[] => [
  directory,
  ...listFiles(directory).flatMap((path) => [path, ...listFiles(path)]),
]

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

/** Certificate and key as TlsSettings has them. */
export function readPair(
  certificateFile: string | undefined,
  keyFile: string | undefined,
): Pick<TlsSettings, 'certificate' | 'key'> {
  if (certificateFile === undefined || keyFile === undefined) return {}
  return { certificate: required(certificateFile), key: required(keyFile) }
}

/** Throws `invalid_argument` for an absent file. */
export function required(path: string): string {
  const text = readText(path)
  if (text === undefined) throw invalid(`${path} does not exist`)
  return text
}
