// The image index: what is in the database, held in memory too. Every change goes to the database first.
import { type DiffId, type Digest, type ImageId, parseDigest } from '@coracle/oci-spec/digest'
import type { ImageConfig } from '@coracle/oci-spec/image'
import { parseImageConfig } from '@coracle/oci-spec/image-config'
import type { Database, Row } from './database.ts'

/** A layer's key: its diffID, or `dirs-` and a digest for one that only mends directories of the layers below. */
export type LayerKey = DiffId | `dirs-${string}`

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
}

export interface StoredImage {
  readonly id: ImageId
  readonly manifestDigest: Digest
  readonly config: ImageConfig
  readonly sizeBytes: number
  /** Lowest first. */
  readonly layers: readonly LayerKey[]
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
    for (const row of db.all('SELECT * FROM images')) {
      const image = imageOf(row)
      this.#images.set(image.id, image)
    }
    for (const row of db.all('SELECT * FROM names')) {
      const name = nameOf(row)
      this.#names.set(name.name, name)
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

  rawConfig(id: ImageId): string {
    const [row] = this.#db.all('SELECT config FROM images WHERE id = ?', id)
    return Buffer.from((row?.['config'] as Uint8Array | undefined) ?? []).toString('utf8')
  }

  addLayer(layer: Layer): void {
    this.#db.write((run) =>
      run(
        'INSERT INTO layers (diff_id, number, blob_digest, blob_bytes, used_bytes, inodes, implied, tree_digest, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        layer.key,
        layer.number,
        layer.blobDigest,
        layer.blobBytes,
        layer.usedBytes,
        layer.inodes,
        JSON.stringify(layer.impliedDirectories),
        layer.treeDigest ?? '',
        Date.now(),
      ),
    )
    this.#layers.set(layer.key, layer)
  }

  removeLayers(keys: readonly LayerKey[]): void {
    if (keys.length === 0) return
    this.#db.write((run) => {
      for (const key of keys) run('DELETE FROM layers WHERE diff_id = ?', key)
    })
    for (const key of keys) this.#layers.delete(key)
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
    if (!this.#images.has(image.id)) this.#images.set(image.id, image)
    this.#remember(names)
  }

  addNames(names: readonly ImageName[]): void {
    if (names.every((name) => sameName(this.#names.get(name.name), name))) return
    this.#db.write((run) => this.#writeNames(run, names))
    this.#remember(names)
  }

  removeNames(names: readonly string[]): void {
    this.#db.write((run) => {
      for (const name of names) run('DELETE FROM names WHERE name = ?', name)
    })
    for (const name of names) this.#names.delete(name)
  }

  removeImage(id: ImageId): void {
    this.#db.write((run) => {
      run('DELETE FROM names WHERE image = ?', id)
      run('DELETE FROM images WHERE id = ?', id)
    })
    for (const name of [...this.#names.values()]) if (name.image === id) this.#names.delete(name.name)
    this.#images.delete(id)
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
