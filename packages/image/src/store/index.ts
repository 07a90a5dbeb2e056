// The image index: what is in the database, held in memory too. Every change goes to the database first.
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { type Digest, type ImageId, parseDigest } from '@coracle/oci-spec/digest'
import type { ImageConfig } from '@coracle/oci-spec/image'
import { parseImageConfig } from '@coracle/oci-spec/image-config'
import type { AdditionalStore } from './additional.ts'
import type { Database, Row } from './database.ts'
import type { LayerKey } from './layer-key.ts'

export type { LayerKey } from './layer-key.ts'

const log = logger('image')

export interface Layer {
  readonly key: LayerKey
  /** Names its directory. */
  readonly number: number
  readonly blobDigest: string
  readonly blobBytes: number
  readonly usedBytes: number
  readonly inodes: number
  readonly impliedDirectories: readonly string[]
  /** Digest of its tree record; undefined: it was unpacked before there were any. */
  readonly treeDigest: string | undefined
  /** Digest of its skeleton (skeleton/recorder.ts); undefined: it has none, or was unpacked before that was recorded. */
  readonly skeletonDigest: string | undefined
  /** When it was recorded, milliseconds after 1970. */
  readonly createdAtMs: number
  /** What a check found wrong with it; undefined: nothing. A container is never made on it. */
  readonly damage: string | undefined
  /** Root of the read-only store that it lies in; undefined: our own. */
  readonly origin?: string
}

export const isSound = (layer: Layer | undefined): layer is Layer => layer !== undefined && layer.damage === undefined

/** Why no container can be made from an image; undefined: it is whole. */
export function damageOf(index: ImageIndex, image: StoredImage): string | undefined {
  for (const key of image.layers) {
    const layer = index.layer(key)
    if (layer === undefined) return `layer ${key} is not in the store`
    if (layer.damage !== undefined) return `layer ${key}: ${layer.damage}`
  }
  return undefined
}

export interface StoredImage {
  readonly id: ImageId
  readonly manifestDigest: Digest
  readonly config: ImageConfig
  readonly sizeBytes: number
  /** Lowest first. */
  readonly layers: readonly LayerKey[]
  /** Root of the read-only store that it is recorded in; undefined: our own. */
  readonly origin?: string
}

export interface ImageName {
  /** `registry/repository:tag` or `registry/repository@digest`. */
  readonly name: string
  readonly kind: 'tag' | 'digest'
  /** `registry/repository`. */
  readonly repository: string
  /** A digest that came with a tag, and goes with it. */
  readonly byTag: boolean
  readonly image: ImageId
}

export interface NewImage {
  readonly image: StoredImage
  readonly rawConfig: Buffer
  readonly rawManifest: Buffer
}

export class ImageIndex {
  readonly #db: Database
  readonly #layers = new Map<LayerKey, Layer>()
  readonly #images = new Map<ImageId, StoredImage>()
  readonly #names = new Map<string, ImageName>()
  readonly #others: AdditionalStore[] = []
  #lastNumber: number

  /** `lastNumber`: no layer gets a number up to it. */
  constructor(db: Database, lastNumber: number) {
    this.#db = db
    this.#lastNumber = lastNumber
    for (const row of db.all('SELECT * FROM layers')) {
      const layer = layerOf(row)
      this.#layers.set(layer.key, layer)
      this.#lastNumber = Math.max(this.#lastNumber, layer.number)
    }
    for (const row of db.all('SELECT * FROM images')) this.#loadImage(row)
    for (const row of db.all('SELECT * FROM names')) {
      const name = nameOf(row)
      if (this.#images.has(name.image)) this.#names.set(name.name, name)
    }
  }

  /** Adds what read-only stores have. Our own layers, images and names go before theirs, theirs in the order given. */
  adopt(stores: readonly AdditionalStore[]): void {
    this.#others.push(...stores)
    this.#fillGaps()
  }

  #fillGaps(): void {
    for (const { root: origin, index } of this.#others) {
      for (const layer of index.layers()) if (!this.#layers.has(layer.key)) this.#layers.set(layer.key, { ...layer, origin })
      for (const image of index.images()) if (!this.#images.has(image.id)) this.#images.set(image.id, { ...image, origin })
      for (const name of index.names()) if (!this.#names.has(name.name)) this.#names.set(name.name, name)
    }
  }

  // One whose bytes the disk has changed is as good as none: it is pulled again.
  #loadImage(row: Row): void {
    try {
      const image = imageOf(row)
      this.#images.set(image.id, image)
    } catch (err) {
      const id = String(row['id'])
      log.error('record of an image is damaged and is removed: pull it again', { id, error: explain(err) })
      this.#db.write((run) => {
        run('DELETE FROM names WHERE image = ?', id)
        run('DELETE FROM images WHERE id = ?', id)
      })
    }
  }

  layer = (key: LayerKey): Layer | undefined => this.#layers.get(key)
  image = (id: ImageId): StoredImage | undefined => this.#images.get(id)
  name = (name: string): ImageName | undefined => this.#names.get(name)
  layers = (): IterableIterator<Layer> => this.#layers.values()
  images = (): IterableIterator<StoredImage> => this.#images.values()
  names = (): IterableIterator<ImageName> => this.#names.values()
  flush = (): Promise<void> => this.#db.flush()
  nextNumber = (): number => ++this.#lastNumber

  rawConfig = (id: ImageId): string => this.documents(id).config.toString('utf8')

  /** An image's config and manifest as they came; empty when it is not recorded here. */
  documents(id: ImageId): { readonly config: Buffer; readonly manifest: Buffer } {
    const origin = this.#images.get(id)?.origin
    const other = this.#others.find(({ root }) => root === origin)
    if (other !== undefined) return other.index.documents(id)
    const [row] = this.#db.all('SELECT config, manifest FROM images WHERE id = ?', id)
    const blob = (column: string) => Buffer.from((row?.[column] as Uint8Array | undefined) ?? [])
    return { config: blob('config'), manifest: blob('manifest') }
  }

  /** What SQLite's own full check finds wrong with the database. */
  integrityProblems(): readonly string[] {
    const lines = this.#db.all('PRAGMA integrity_check(20)').map((row) => String(row['integrity_check']))
    return lines.filter((line) => line !== 'ok')
  }

  /** Records a layer; one of the same key gives way to it. */
  addLayer(layer: Layer): void {
    this.#db.write((run) =>
      run(
        'INSERT OR REPLACE INTO layers (diff_id, number, blob_digest, blob_bytes, used_bytes, inodes, implied, tree_digest, skeleton_digest, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        layer.key,
        layer.number,
        layer.blobDigest,
        layer.blobBytes,
        layer.usedBytes,
        layer.inodes,
        JSON.stringify(layer.impliedDirectories),
        layer.treeDigest ?? '',
        layer.skeletonDigest ?? '',
        layer.createdAtMs,
      ),
    )
    this.#layers.set(layer.key, layer)
  }

  /** Marks a layer as damaged, or, with no text, as sound again. */
  setDamage(key: LayerKey, damage: string | undefined): void {
    const layer = this.#layers.get(key)
    if (layer === undefined || layer.damage === damage) return
    if (layer.origin === undefined)
      this.#db.write((run) => run('UPDATE layers SET damage = ? WHERE diff_id = ?', damage ?? '', key))
    this.#layers.set(key, { ...layer, damage })
  }

  removeLayers(keys: readonly LayerKey[]): void {
    if (keys.length === 0) return
    this.#db.write((run) => {
      for (const key of keys) run('DELETE FROM layers WHERE diff_id = ?', key)
    })
    for (const key of keys) this.#layers.delete(key)
    this.#fillGaps()
  }

  /** Adds the image unless it is there, and gives it the names; a name that another image had moves. */
  addImage({ image, rawConfig, rawManifest }: NewImage, names: readonly ImageName[]): void {
    this.#db.write((run) => {
      run(
        'INSERT INTO images (id, manifest_digest, manifest, config, size_bytes, layers, pulled_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        image.id,
        image.manifestDigest,
        rawManifest,
        rawConfig,
        image.sizeBytes,
        JSON.stringify(image.layers),
        Date.now(),
      )
      this.#writeNames(run, names)
    })
    if (this.#images.get(image.id)?.origin !== undefined || !this.#images.has(image.id)) this.#images.set(image.id, image)
    this.#remember(names)
  }

  addNames(names: readonly ImageName[]): void {
    const foreign = names.map(({ image }) => this.#images.get(image)).find((image) => image?.origin !== undefined)
    if (foreign !== undefined)
      throw new CodedError('failed_precondition', `image ${foreign.id} lies in a read-only store: pull it to give it names`)
    if (names.every((name) => sameName(this.#names.get(name.name), name))) return
    this.#db.write((run) => this.#writeNames(run, names))
    this.#remember(names)
  }

  removeNames(names: readonly string[]): void {
    this.#db.write((run) => {
      for (const name of names) run('DELETE FROM names WHERE name = ?', name)
    })
    for (const name of names) this.#names.delete(name)
    this.#fillGaps()
  }

  removeImage(id: ImageId): void {
    this.#db.write((run) => {
      run('DELETE FROM names WHERE image = ?', id)
      run('DELETE FROM images WHERE id = ?', id)
    })
    for (const name of [...this.#names.values()]) if (name.image === id) this.#names.delete(name.name)
    this.#images.delete(id)
    this.#fillGaps()
  }

  #writeNames(run: (sql: string, ...values: (string | number)[]) => void, names: readonly ImageName[]): void {
    for (const { name, kind, repository, byTag, image } of names) {
      // Once asked for by digest, the digest stays when the tag goes.
      const keeps = this.#names.get(name)?.byTag === false && this.#names.get(name)?.image === image
      run(
        'INSERT INTO names (name, kind, repository, by_tag, image) VALUES (?, ?, ?, ?, ?) ' +
          'ON CONFLICT (name) DO UPDATE SET by_tag = excluded.by_tag, image = excluded.image',
        name,
        kind,
        repository,
        byTag && !keeps ? 1 : 0,
        image,
      )
    }
  }

  #remember(names: readonly ImageName[]): void {
    for (const name of names) {
      const before = this.#names.get(name.name)
      const keeps = before?.byTag === false && before.image === name.image
      this.#names.set(name.name, keeps ? { ...name, byTag: false } : name)
    }
  }
}

const sameName = (a: ImageName | undefined, b: ImageName): boolean =>
  a !== undefined && a.image === b.image && (!a.byTag || b.byTag)

// Rows are our own: what is in them was checked when it was written.
function layerOf(row: Row): Layer {
  return {
    key: String(row['diff_id']) as LayerKey,
    number: Number(row['number']),
    blobDigest: String(row['blob_digest']),
    blobBytes: Number(row['blob_bytes']),
    usedBytes: Number(row['used_bytes']),
    inodes: Number(row['inodes']),
    impliedDirectories: JSON.parse(String(row['implied'])) as string[],
    treeDigest: row['tree_digest'] === '' ? undefined : String(row['tree_digest']),
    skeletonDigest: row['skeleton_digest'] === '' ? undefined : String(row['skeleton_digest']),
    createdAtMs: Number(row['created_at']),
    damage: row['damage'] === '' ? undefined : String(row['damage']),
  }
}

function imageOf(row: Row): StoredImage {
  return Object.freeze({
    id: parseDigest('image id', row['id']),
    manifestDigest: parseDigest('manifest digest', row['manifest_digest']),
    config: parseImageConfig(row['config'] as Uint8Array),
    sizeBytes: Number(row['size_bytes']),
    layers: JSON.parse(String(row['layers'])) as LayerKey[],
  })
}

function nameOf(row: Row): ImageName {
  return {
    name: String(row['name']),
    kind: row['kind'] === 'tag' ? 'tag' : 'digest',
    repository: String(row['repository']),
    byTag: row['by_tag'] === 1,
    image: parseDigest('image id', row['image']),
  }
}
