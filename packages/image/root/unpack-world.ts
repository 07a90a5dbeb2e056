// A place of its own to unpack layers in: a registry that serves what a test made, one worker, and a look at what came out.
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createHost } from '@coracle/host'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { type DiffId, parseDigest } from '@coracle/oci-spec/digest'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { type FaultRegistry, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { ExtractLimits } from '../src/unpack/extract.ts'
import type { LayerJob, UnpackedLayer } from '../src/unpack/messages.ts'
import { createUnpackPool, type UnpackPool } from '../src/unpack/pool.ts'

export interface UnpackWorld extends AsyncDisposable {
  readonly directory: string
  readonly registry: FaultRegistry
  readonly pool: UnpackPool
  /** Unpacks a layer; resolves to what is in its directory. */
  unpack(tar: Buffer, options?: LayerOptions): Promise<Unpacked>
}

export interface LayerOptions {
  /** Default: gzip of the tar. */
  readonly blob?: Buffer
  readonly diffId?: string
  readonly size?: number
  readonly digest?: string
  readonly limits?: Partial<ExtractLimits>
  readonly gunzip?: LayerJob['gunzip']
  readonly signal?: AbortSignal
}

export interface Unpacked extends UnpackedLayer {
  readonly path: string
  /** What lies where, `d755`, `f644 text`, `l target`, `c0:0`, `p644`; owners other than root and extended attributes are added. */
  readonly tree: Readonly<Record<string, string>>
}

const host = createHost()
const sys = loadUnpackSyscalls()

export async function createUnpackWorld(): Promise<UnpackWorld> {
  const directory = makeOwnDirectory('coracle-unpack-')
  const staging = join(directory, 'staging')
  mkdirSync(staging)
  mkdirSync(join(directory, 'cache'))
  const registry = await startFaultRegistry()
  const pool = createUnpackPool({
    processes: host.processes,
    stagingDirectory: staging,
    cacheDirectory: join(directory, 'cache'),
    maxWorkers: 1,
    idleMs: 60_000,
  })
  let serial = 0
  return {
    directory,
    registry,
    pool,
    async unpack(tar, options = {}) {
      const name = `layer${++serial}`
      const path = join(staging, name)
      mkdirSync(path, { mode: 0o755 })
      const blob = options.blob ?? gzipSync(tar, { level: 1 })
      const digest = parseDigest('digest', options.digest ?? registry.addBlob(blob))
      const handle = pool.unpack(
        {
          directory: name,
          blob: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: options.size ?? blob.length },
          diffId: (options.diffId ?? sha256(tar)) as DiffId,
          gunzip: options.gunzip ?? 'fastest',
          limits: { maxEntries: 50_000, maxUnpackedBytes: 1024 ** 3, reserveBytes: 0, ...options.limits },
          source: {
            endpoints: [{ baseUrl: `${registry.url}/v2`, host: registry.host, insecure: true, isOrigin: true }],
            repository: 'test/layer',
            registries: {},
            stallTimeoutMs: 2000,
            retryBaseMs: 10,
          },
        },
        { onProgress: () => {}, onFiles: () => {}, signal: options.signal ?? AbortSignal.timeout(300_000) },
      )
      const layer = await handle.result.finally(() => handle.settled)
      return {
        ...layer,
        path,
        get tree() {
          return treeOf(path)
        },
      }
    },
    async [Symbol.asyncDispose]() {
      await pool.close()
      await registry[Symbol.asyncDispose]()
      // Deeper than paths are long, some of them.
      await host.paths.removeTree(directory)
    },
  }
}

export function treeOf(root: string): Record<string, string> {
  const tree: Record<string, string> = {}
  const visit = (directory: Buffer, prefix: string) => {
    for (const name of readdirSync(directory, { encoding: 'buffer' })) {
      const path = Buffer.concat([directory, Buffer.from('/'), name])
      const shown = prefix + name.toString('latin1')
      tree[shown] = describeFile(path)
      if (lstatSync(path).isDirectory()) visit(path, `${shown}/`)
    }
  }
  visit(Buffer.from(root), '')
  return tree
}

function describeFile(path: Buffer): string {
  const stat = lstatSync(path)
  const mode = (stat.mode & 0o7777).toString(8)
  const owner = stat.uid === 0 && stat.gid === 0 ? '' : ` ${stat.uid}:${stat.gid}`
  const xattrs = [...sys.xattrs(path)].map(([name, value]) => ` ${name}=${value.toString('latin1')}`).join('')
  const device = `${(stat.rdev >> 8) & 0xfff}:${stat.rdev & 0xff}`
  if (stat.isDirectory()) return `d${mode}${owner}${xattrs}`
  if (stat.isSymbolicLink()) return `l ${readlinkSync(path, 'latin1')}${owner}${xattrs}`
  if (stat.isCharacterDevice()) return `c${device}${owner}`
  if (stat.isBlockDevice()) return `b${device}${owner}`
  if (stat.isFIFO()) return `p${mode}${owner}`
  const content = stat.size > 64 ? `${stat.size} bytes` : readFileSync(path, 'latin1')
  return `f${mode}${owner} ${content}${xattrs}`
}
