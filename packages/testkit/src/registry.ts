// A registry on loopback for one test run: Debian's docker-registry, filled with images made on the spot. CI has no other.
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { makeOwnDirectory } from './belongings.ts'
import { eventually } from './eventually.ts'
import { type Program, startProgram } from './program.ts'
import { reclaimOnce } from './reclaim.ts'
import { buildImage, type ImageSource, sha256 } from './test-image.ts'

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  /** Makes the image and pushes it. Resolves to the digest of what the tag refers to. */
  push(repository: string, tag: string, image: ImageSource): Promise<string>
}

export interface RegistryOptions {
  /** Lines of an htpasswd file (bcrypt): without one of these passwords nothing is answered. `push` cannot be used then. */
  readonly htpasswd?: string
}

/** Starts a registry on a free port with its data in a temporary directory; both are gone when it is disposed of. */
export async function startRegistry({ htpasswd }: RegistryOptions = {}): Promise<Registry> {
  await reclaimOnce()
  const directory = makeOwnDirectory('coracle-registry-')
  const host = `127.0.0.1:${await freePort()}`
  const config = {
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: host, secret: 'test' },
    ...(htpasswd === undefined ? {} : { auth: { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } } }),
  }
  if (htpasswd !== undefined) await writeFile(join(directory, 'htpasswd'), htpasswd)
  // JSON is YAML.
  await writeFile(join(directory, 'config.yml'), JSON.stringify(config))
  const program = await startProgram({
    argv: ['docker-registry', 'serve', join(directory, 'config.yml')],
    logPath: join(directory, 'log'),
  })
  await eventually('the registry answers', () => answers(host, program), { timeoutMs: 20_000 })
  return {
    ...registryAt(host),
    async [Symbol.asyncDispose]() {
      await program.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A registry that already runs at `host` and takes pushes; disposing of it leaves it alone. */
export function registryAt(host: string): Registry {
  return {
    host,
    push: (repository, tag, image) => push(`http://${host}/v2/${repository}`, tag, image),
    async [Symbol.asyncDispose]() {},
  }
}

async function answers(host: string, program: Program): Promise<boolean> {
  if (!program.running()) throw new Error('docker-registry ended at once')
  return [200, 401].includes((await fetch(`http://${host}/v2/`)).status)
}

async function push(repositoryUrl: string, tag: string, source: ImageSource): Promise<string> {
  const image = buildImage(source)
  for (const blob of image.blobs) await pushBlob(repositoryUrl, blob)
  for (const manifest of image.manifests) {
    const digest = sha256(manifest.bytes)
    await pushManifest(repositoryUrl, digest, manifest)
  }
  const top = image.manifests.at(-1)
  if (!top) throw new Error('an image without a manifest')
  await pushManifest(repositoryUrl, tag, top)
  return sha256(top.bytes)
}

async function pushBlob(repositoryUrl: string, bytes: Buffer<ArrayBuffer>): Promise<void> {
  const digest = sha256(bytes)
  const known = await fetch(`${repositoryUrl}/blobs/${digest}`, { method: 'HEAD' })
  if (known.ok) return
  const upload = await expectStatus(fetch(`${repositoryUrl}/blobs/uploads/`, { method: 'POST' }), 202)
  const location = new URL(upload.headers.get('location') ?? '', repositoryUrl)
  location.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream' }
  await expectStatus(fetch(location, { method: 'PUT', body: bytes, headers }), 201)
}

async function pushManifest(
  repositoryUrl: string,
  reference: string,
  manifest: { readonly mediaType: string; readonly bytes: Buffer<ArrayBuffer> },
): Promise<void> {
  const headers = { 'content-type': manifest.mediaType }
  await expectStatus(fetch(`${repositoryUrl}/manifests/${reference}`, { method: 'PUT', body: manifest.bytes, headers }), 201)
}

async function expectStatus(reply: Promise<Response>, status: number): Promise<Response> {
  const response = await reply
  if (response.status !== status) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
  return response
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
