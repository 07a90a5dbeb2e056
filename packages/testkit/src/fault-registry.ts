// A registry in this process that does what it is told, also what no registry should: every answer can be scripted, every request is kept.

import { createHash } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TlsOptions } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { createAuthority, type Identity } from './authority.ts'

export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  /** `1.1` or `2.0`. */
  readonly httpVersion: string
}

export interface FaultRegistryOptions {
  /** With a certificate for 127.0.0.1 and localhost of an authority of its own. */
  readonly tls?: boolean
  /** TLS with this one. */
  readonly identity?: Identity
  /** PEM: clients must show a certificate of this authority. */
  readonly clientAuthority?: string
  /** Speaks HTTP/2 to those who can, or to nobody else; with TLS only. */
  readonly http2?: boolean | 'only'
  readonly more?: TlsOptions
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

/** Starts it on a free port of 127.0.0.1. */
export async function startFaultRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const blobs = new Map<string, Buffer>()
  const manifests = new Map<string, { mediaType: string; body: Buffer }>()
  const faults: Fault[] = []
  const requests: SeenRequest[] = []
  const connections = new Set<Socket>()
  const own = options.tls ? await ownIdentity() : undefined
  const identity = options.identity ?? own

  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const url = request.url ?? ''
    requests.push({
      method: request.method ?? '',
      url,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      httpVersion: request.httpVersion,
    })
    response.on('error', () => {})
    for (const fault of faults.toReversed()) if (fault(request, response)) return
    const [, repository, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)(?:\?.*)?$/.exec(url) ?? []
    if (kind === 'manifests') serveManifest(response, manifests.get(`${repository}/${reference}`))
    else serveBlob(request, response, blobs.get(reference ?? ''))
  }
  const quiet = (request: IncomingMessage, response: ServerResponse) =>
    void listener(request, response).catch(() => response.destroy())
  const server = identity ? createSecureServer(identity, options, quiet) : http.createServer(quiet)
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
    authority: own?.authority,
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
      if ('closeAllConnections' in server) server.closeAllConnections()
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

type Listener = (request: IncomingMessage, response: ServerResponse) => void

function createSecureServer(
  identity: Identity,
  { clientAuthority, http2: hasHttp2, more }: FaultRegistryOptions,
  listener: Listener,
) {
  const client = clientAuthority === undefined ? {} : { requestCert: true, rejectUnauthorized: true, ca: clientAuthority }
  const options = { key: identity.key, cert: identity.cert, ...client, ...more }
  if (!hasHttp2) return https.createServer(options, listener)
  const protocols = hasHttp2 === 'only' ? { ALPNProtocols: ['h2'] } : { allowHTTP1: true }
  // Node makes its objects for HTTP/2 look like those for HTTP/1.1: faults use what both have.
  return http2.createSecureServer({ ...options, ...protocols, maxSessionMemory: 1000 }, listener as never)
}

async function ownIdentity(): Promise<Identity & { readonly authority: string }> {
  await using authority = await createAuthority()
  return { ...(await authority.issue()), authority: authority.certificate }
}
