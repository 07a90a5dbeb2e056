// A registry in this process that does what it is told, also what no registry should: every answer can be scripted, every request is kept.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** Handles a request by itself and returns true, or leaves it to the registry. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean

export interface LayerSource {
  readonly tar: Buffer
  /** Default: gzip of `tar`. */
  readonly blob?: Buffer
  readonly mediaType?: string
  /** Written over the descriptor. */
  readonly descriptor?: Readonly<Record<string, unknown>>
  /** Default: the digest of `tar`. */
  readonly diffId?: string
}

export interface FaultRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  readonly url: string
  readonly requests: SeenRequest[]
  /** PEM of the certificate authority, when it speaks TLS. */
  readonly authority: string | undefined
  /** Connections open now. */
  readonly connections: ReadonlySet<Socket>
  addBlob(bytes: Buffer): string
  addManifest(
    repository: string,
    reference: string,
    manifest: { readonly mediaType: string; readonly body: Buffer | string },
  ): string
  /** A manifest of one platform around the layers. Returns the digests of manifest and config. */
  addImage(repository: string, tag: string, layers: readonly LayerSource[], config?: object): { manifest: string; config: string }
  /** Asked before the registry, latest first; removed by the function returned. */
  fault(fault: Fault): () => void
}

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
}

export const sha256 = (bytes: Buffer | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Starts it on a free port of 127.0.0.1. With `tls` it has a certificate for 127.0.0.1 and localhost of an authority of its own. */
export async function startFaultRegistry(options: { readonly tls?: boolean } = {}): Promise<FaultRegistry> {
  const blobs = new Map<string, Buffer>()
  const manifests = new Map<string, { mediaType: string; body: Buffer }>()
  const faults: Fault[] = []
  const requests: SeenRequest[] = []
  const connections = new Set<Socket>()
  const identity = options.tls ? await makeIdentity() : undefined

  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const url = request.url ?? ''
    requests.push({ method: request.method ?? '', url, headers: request.headers, body: Buffer.concat(chunks).toString() })
    response.on('error', () => {})
    for (const fault of faults.toReversed()) if (fault(request, response)) return
    const [, repository, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(url) ?? []
    if (kind === 'manifests') serveManifest(response, manifests.get(`${repository}/${reference}`))
    else serveBlob(request, response, blobs.get(reference ?? ''))
  }
  const quiet = (request: IncomingMessage, response: ServerResponse) =>
    void listener(request, response).catch(() => response.destroy())
  const server = identity ? https.createServer(identity, quiet) : http.createServer(quiet)
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`

  const registry: FaultRegistry = {
    host,
    url: `${identity ? 'https' : 'http'}://${host}`,
    requests,
    authority: identity?.authority,
    connections,
    addBlob(bytes) {
      const digest = sha256(bytes)
      blobs.set(digest, bytes)
      return digest
    },
    addManifest(repository, reference, { mediaType, body }) {
      const bytes = Buffer.from(body)
      const digest = sha256(bytes)
      for (const name of [reference, digest]) manifests.set(`${repository}/${name}`, { mediaType, body: bytes })
      return digest
    },
    addImage(repository, tag, layers, config = {}) {
      const configBytes = Buffer.from(
        JSON.stringify({
          architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
          os: 'linux',
          config: { Cmd: ['/x'] },
          rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId ?? sha256(layer.tar)) },
          ...config,
        }),
      )
      const descriptors = layers.map((layer) => {
        const blob = layer.blob ?? gzipSync(layer.tar, { level: 1 })
        return {
          mediaType: layer.mediaType ?? types.layer,
          digest: registry.addBlob(blob),
          size: blob.length,
          ...layer.descriptor,
        }
      })
      const body = JSON.stringify({
        schemaVersion: 2,
        mediaType: types.manifest,
        config: { mediaType: types.config, digest: registry.addBlob(configBytes), size: configBytes.length },
        layers: descriptors,
      })
      const manifest = registry.addManifest(repository, tag, { mediaType: types.manifest, body })
      return { manifest, config: sha256(configBytes) }
    },
    fault(fault) {
      faults.push(fault)
      return () => void faults.splice(faults.indexOf(fault), 1)
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      for (const socket of connections) socket.destroy()
      await closed
    },
  }
  return registry
}

function serveManifest(response: ServerResponse, manifest: { mediaType: string; body: Buffer } | undefined) {
  if (manifest === undefined) return notFound(response, 'MANIFEST_UNKNOWN')
  response.writeHead(200, {
    'content-type': manifest.mediaType,
    'content-length': manifest.body.length,
    'docker-content-digest': sha256(manifest.body),
  })
  response.end(manifest.body)
}

function serveBlob(request: IncomingMessage, response: ServerResponse, blob: Buffer | undefined) {
  if (blob === undefined) return notFound(response, 'BLOB_UNKNOWN')
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const headers = { 'content-type': 'application/octet-stream', 'content-length': blob.length - start }
  if (start === 0) response.writeHead(200, headers)
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${blob.length - 1}/${blob.length}` })
  response.end(blob.subarray(start))
}

function notFound(response: ServerResponse, code: string): void {
  response.writeHead(404, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ errors: [{ code, message: 'not here' }] }))
}

/** An authority and a server certificate for 127.0.0.1 and localhost, valid for a day, made by openssl(1). */
async function makeIdentity(): Promise<{ key: string; cert: string; authority: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'coracle-tls-'))
  const run = promisify(execFile)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  try {
    const at = (name: string) => join(directory, name)
    await run('openssl', [
      'req',
      '-x509',
      ...key,
      '-keyout',
      at('ca.key'),
      '-out',
      at('ca.pem'),
      '-days',
      '1',
      '-subj',
      '/CN=test authority',
    ])
    await run('openssl', [
      ...['req', '-x509', ...key, '-keyout', at('key.pem'), '-out', at('cert.pem'), '-days', '1', '-subj', '/CN=localhost'],
      ...['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
      ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ])
    const read = (name: string) => readFileSync(at(name), 'utf8')
    return { key: read('key.pem'), cert: read('cert.pem'), authority: read('ca.pem') }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
