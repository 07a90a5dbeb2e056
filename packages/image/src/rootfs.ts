// Root file systems: an overlay of an image's layers with a directory of the container's own on top. The container's directory is the
// record: it says which layers it uses, and moving it away is the removal.
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { CodedError, doing, failed, notFound } from '@coracle/base/errors'
import { parseComponent } from '@coracle/base/ids'
import { loadUnpackSyscalls, type UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import type { ImageId } from '@coracle/oci-spec/digest'
import { namingDisk } from './disk-error.ts'
import { removeViews, withIdmappedLayers } from './idmapped-layers.ts'
import type { Rootfs, RootfsRequest } from './images.ts'
import type { ImagesDeps, Settings } from './options.ts'
import { damageOf, type Layer, type LayerKey } from './store/index.ts'
import type { Store } from './store/store.ts'

interface RootfsRecord {
  readonly image: ImageId
  readonly layers: readonly LayerKey[]
  /** Numbers of the layers in our own store: known even if the index is lost. */
  readonly numbers: readonly number[]
  readonly idmapped?: boolean
}

export interface RootfsDeps {
  readonly store: Store
  readonly host: ImagesDeps
  readonly settings: Settings
  /** Called when a container no longer needs its layers. */
  readonly onReleased: () => void
}

export interface LayersInUse {
  readonly keys: ReadonlySet<LayerKey>
  readonly numbers: ReadonlySet<number>
  readonly byKey: ReadonlyMap<string, readonly number[]>
}

// What stands in a record that could not be read: no digest is empty.
const noImage = '' as ImageId
const recordFile = 'layers.json'
/** The name by which cAdvisor looks for it (docs/kubelet.md). */
const upper = 'diff'

export class RootfsStore {
  readonly #deps: RootfsDeps
  readonly #records = new Map<string, RootfsRecord>()
  readonly #fixedOptions: readonly string[]
  #sys: Pick<UnpackSyscalls, 'xattr'> | undefined

  constructor(deps: RootfsDeps) {
    this.#deps = deps
    this.#fixedOptions = overlayOptions(deps.settings.volatileRootfs)
    for (const key of readdirSync(deps.store.layout.containers)) this.#records.set(key, this.#read(key))
  }

  async create(request: RootfsRequest, signal: AbortSignal): Promise<Rootfs> {
    const { key, image, idmap } = request
    parseComponent('root file system key', key)
    signal.throwIfAborted()
    // A try that was cut short.
    if (this.#records.has(key)) await this.remove(key)
    signal.throwIfAborted()
    const { store } = this.#deps
    const stored = store.index.image(image)
    if (stored === undefined) throw notFound(`image ${image} is not in the store`)
    const damage = damageOf(store.index, stored)
    if (damage !== undefined) throw new CodedError('data_loss', `image ${image} is damaged (${damage}): pull it again`)
    // All are there: otherwise it were damaged.
    const layers = stored.layers.map((layer) => store.index.layer(layer) as Layer)
    const own = layers.filter(({ origin }) => origin === undefined)
    const record: RootfsRecord = {
      ...{ image, layers: stored.layers, numbers: own.map(({ number }) => number) },
      idmapped: idmap !== undefined,
    }
    this.#records.set(key, record)
    const target = this.#target(key)
    try {
      this.#makeDirectories(key, record)
      await this.#mount(request, layers, signal)
    } catch (err) {
      await this.remove(key)
      throw failed(`make the root file system of ${key}`, namingDisk(err, this.#deps.store.layout.containers))
    }
    return { path: target }
  }

  async #mount({ key, idmap, mountLabel }: RootfsRequest, stack: readonly Layer[], signal: AbortSignal): Promise<void> {
    const { store } = this.#deps
    const { mounts } = this.#deps.host
    const destination = this.#target(key)
    const layers = this.#visible(stack.map((layer) => store.layerPath(layer))).toReversed()
    // Quoted, since a label has commas.
    const context = mountLabel === undefined ? [] : [`context="${mountLabel}"`]
    const mount = (lower: readonly string[]) =>
      mounts.mount({ type: 'overlay', source: 'overlay', destination, options: [...this.#options(key, lower), ...context] })
    if (idmap === undefined) {
      mkdirSync(destination, { recursive: true, mode: 0o755 })
      mount(layers)
      return
    }
    const { usernsPath, rootUid, rootGid } = idmap
    mkdirSync(destination, { recursive: true, mode: 0o700 })
    // The overlay writes as root of the host, which an idmapped upper directory could not name: this one directory is given away instead.
    for (const path of [dirname(destination), join(this.directory(key), upper)]) chownSync(path, rootUid, rootGid)
    await withIdmappedLayers(this.#deps.host, { directory: this.#views(key), layers, usernsPath, use: mount }, signal)
  }

  // The kernel looks through the root of every layer, whatever mark it has: what lies below an opaque one is left out here.
  #visible(layers: readonly string[]): readonly string[] {
    this.#sys ??= loadUnpackSyscalls()
    const { xattr } = this.#sys
    const isOpaque = (layer: string) => xattr(Buffer.from(layer), 'trusted.overlay.opaque')?.toString('latin1') === 'y'
    return layers.slice(Math.max(0, layers.findLastIndex(isOpaque)))
  }

  async unmount(key: string): Promise<void> {
    const target = this.#target(parseComponent('root file system key', key))
    removeViews(this.#deps.host, this.#views(key))
    await this.#deps.host.mounts.unmount(target)
    unlessErrno(['ENOENT'], () => rmdirSync(target), undefined)
    if (this.#records.get(key)?.idmapped === true) unlessErrno(['ENOENT'], () => rmdirSync(dirname(target)), undefined)
  }

  async remove(key: string): Promise<void> {
    await this.unmount(key)
    await doing(`remove the writable layer of ${key}`, () => this.#deps.store.containersTrash.take(this.directory(key)))
    if (this.#records.delete(key)) this.#deps.onReleased()
  }

  writableLayer = (key: string): string => join(this.directory(parseComponent('root file system key', key)), upper)
  keys = (): readonly string[] => [...this.#records.keys()]

  /** Layers in use, and the numbers of their directories, also by root file system. */
  inUse(): LayersInUse {
    const records = [...this.#records.values()]
    return {
      keys: new Set(records.flatMap(({ layers }) => layers)),
      numbers: new Set(records.flatMap(({ numbers }) => numbers)),
      byKey: new Map([...this.#records].map(([key, { numbers }]) => [key, numbers])),
    }
  }

  /** The root file systems that stand on a layer. */
  users = (layer: LayerKey): readonly string[] =>
    [...this.#records].filter(([, { layers }]) => layers.includes(layer)).map(([key]) => key)
  imageOf = (key: string): ImageId | undefined => this.#records.get(key)?.image
  /** Root file systems whose record could not be read. */
  unreadable = (): readonly string[] => [...this.#records].filter(([, { image }]) => image === noImage).map(([key]) => key)

  /** All that is kept of one. */
  directory = (key: string): string => join(this.#deps.store.layout.containers, key)
  #views = (key: string): string => join(this.#deps.store.layout.idmappedLayers, key)
  #target = (key: string): string =>
    this.#records.get(key)?.idmapped === true
      ? join(this.#deps.store.layout.idmappedMounts, key, 'rootfs')
      : join(this.#deps.store.layout.mounts, key)

  #makeDirectories(key: string, record: RootfsRecord): void {
    const directory = this.directory(key)
    mkdirSync(directory, { mode: 0o700 })
    writeFileSync(join(directory, recordFile), JSON.stringify(record), { mode: 0o600 })
    mkdirSync(join(directory, upper), { mode: 0o755 })
    mkdirSync(join(directory, 'work'), { mode: 0o700 })
  }

  #options(key: string, lower: readonly string[]): readonly string[] {
    const directory = this.directory(key)
    return [
      `lowerdir=${lower.map(escaped).join(':')}`,
      `upperdir=${escaped(join(directory, upper))}`,
      `workdir=${escaped(join(directory, 'work'))}`,
      ...this.#fixedOptions,
    ]
  }

  // Cut short before it was written: nothing was mounted yet, so no layer is held.
  #read(key: string): RootfsRecord {
    try {
      // Our own file.
      return JSON.parse(readFileSync(join(this.directory(key), recordFile), 'utf8')) as RootfsRecord
    } catch (err) {
      if (!(err instanceof SyntaxError) && !isErrno(err, 'ENOENT', 'ENOTDIR')) throw err
      return { image: noImage, layers: [], numbers: [] }
    }
  }
}

// Separators of overlay's and mount's own words.
const escaped = (path: string): string => path.replace(/[\\:,]/g, (character) => `\\${character}`)

function overlayOptions(isVolatile: boolean): readonly string[] {
  const parameters = '/sys/module/overlay/parameters'
  // Not loaded yet: every kernel that we run on knows them.
  const knows = (name: string): boolean => !existsSync(parameters) || existsSync(join(parameters, name))
  return [
    ...['index', 'redirect_dir', 'metacopy'].filter(knows).map((name) => `${name}=off`),
    ...(isVolatile ? ['volatile'] : []),
  ]
}
