// The server's certificate, read again when its files change.
import { readFileSync, statSync } from 'node:fs'
import type { Server } from 'node:https'
import { explain, failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'

export interface TlsFiles {
  /** PEM, the whole chain. */
  readonly certificateFile: string
  readonly keyFile: string
}

const log = logger('streaming')
/** Polled: secrets are replaced by renamed links, which file watches lose. */
const CHECK_EVERY_MS = 5_000

/** Throws, naming the files, when they cannot be read. */
export function readCertificate(files: TlsFiles): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(files.certificateFile), key: readFileSync(files.keyFile) }
  } catch (err) {
    throw failed(`read tls certificate ${files.certificateFile} and key ${files.keyFile}`, err)
  }
}

/** Until aborted, gives the server the new certificate whenever the files have changed. A bad one is logged, the old one stays. */
export function watchCertificate(
  files: TlsFiles,
  server: Server,
  { signal, everyMs = CHECK_EVERY_MS }: { readonly signal: AbortSignal; readonly everyMs?: number },
): void {
  let known = fingerprint(files)
  const timer = setInterval(() => {
    const now = fingerprint(files)
    if (now === known) return
    known = now
    try {
      server.setSecureContext({ ...readCertificate(files), minVersion: 'TLSv1.2' })
      log.info('tls certificate reloaded', { file: files.certificateFile })
    } catch (err) {
      log.error('tls certificate not reloaded', { file: files.certificateFile, error: explain(err) })
    }
  }, everyMs)
  timer.unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

function fingerprint(files: TlsFiles): string {
  return [files.certificateFile, files.keyFile]
    .map((path) => {
      const info = statSync(path, { throwIfNoEntry: false })
      return info === undefined ? 'absent' : `${info.ino}:${info.size}:${info.mtimeMs}`
    })
    .join(' ')
}
