// Which layers may be used. After the machine lost its power, layers that were written since the boot before are looked at first:
// in the background, and at once when a container wants one.
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { SingleFlight } from '@coracle/base/single-flight'
import type { ImageId } from '@coracle/oci-spec/digest'
import { damageOf, type Layer, type LayerKey } from '../store/index.ts'
import type { Session } from '../store/session.ts'
import { leaseLayers, type Store } from '../store/store.ts'
import { type CheckDeps, checkTrees } from '../tree/check.ts'
import type { LayerVerdict } from '../tree/check-tasks.ts'

const log = logger('image')

export interface CheckedLayer extends LayerVerdict {
  readonly layer: Layer
}

export class Soundness {
  readonly #store: Store
  readonly #deps: CheckDeps
  readonly #session: Session
  readonly #suspects: Set<LayerKey>
  readonly #flights = new SingleFlight<void>('layer check')

  constructor(store: Store, deps: CheckDeps, session: Session) {
    this.#store = store
    this.#deps = deps
    this.#session = session
    const { suspectSinceMs } = session
    this.#suspects = new Set(
      [...store.index.layers()]
        .filter(
          ({ origin, createdAtMs }) => suspectSinceMs !== undefined && origin === undefined && createdAtMs >= suspectSinceMs,
        )
        .map(({ key }) => key),
    )
    if (suspectSinceMs !== undefined && this.#suspects.size === 0) session.verified()
  }

  get suspects(): number {
    return this.#suspects.size
  }

  /** Resolves when the image may be used. Throws `data_loss` when it is damaged, saying what to do. */
  async ensure(id: ImageId, signal: AbortSignal): Promise<void> {
    const image = this.#store.index.image(id)
    if (image === undefined) return
    for (const key of image.layers.filter((layer) => this.#suspects.has(layer))) await this.#clear([key], signal)
    const damage = damageOf(this.#store.index, image)
    if (damage !== undefined)
      throw new CodedError('data_loss', `image ${id} is damaged (${damage}): pull it again, or run coracle store check --repair`)
  }

  /** Looks at all suspects, one after the other. */
  async clearAll(signal: AbortSignal): Promise<void> {
    if (this.#suspects.size === 0) return
    log.warn('the last run ended with the machine: layers written since are checked', { layers: this.#suspects.size })
    for (const key of [...this.#suspects]) {
      try {
        await this.#clear([key], signal)
      } catch (err) {
        if (signal.aborted) return
        // Asked again when a container wants it, and at the next start.
        log.error('layer could not be checked', { layer: key, error: explain(err) })
      }
    }
  }

  /** Holds layers against their records, and marks them as damaged or sound. Those that went meanwhile are left out. */
  async check(keys: readonly LayerKey[], deep: boolean, signal: AbortSignal): Promise<readonly CheckedLayer[]> {
    const { index } = this.#store
    const layers = keys.flatMap((key) => index.layer(key) ?? [])
    using _lease = leaseLayers(this.#store, keys)
    const checked: CheckedLayer[] = []
    for (const root of new Set(layers.map(({ origin }) => origin ?? this.#store.layout.root))) {
      const here = layers.filter(({ origin }) => (origin ?? this.#store.layout.root) === root)
      const tasks = here.map(({ number, treeDigest, blobDigest, skeletonDigest }) => {
        const name = number.toString(36)
        const blob = { path: `blobs/${name}`, digest: blobDigest }
        const skeleton = { path: `skeletons/${name}`, digest: skeletonDigest }
        return { number, directory: `layers/${name}`, record: `trees/${name}`, recordDigest: treeDigest, blob, skeleton }
      })
      const verdicts = new Map((await checkTrees(this.#deps, { store: root, deep, tasks }, signal)).map((v) => [v.number, v]))
      for (const layer of here) {
        const verdict = verdicts.get(layer.number)
        // Unpacked anew while it was checked.
        if (verdict === undefined || index.layer(layer.key)?.number !== layer.number) continue
        this.#mark(layer, verdict, deep)
        checked.push({ ...verdict, layer })
      }
    }
    return checked
  }

  async #clear(keys: readonly LayerKey[], signal: AbortSignal): Promise<void> {
    await this.#flights.join(keys.join(), signal, async (flightSignal) => {
      await this.check(keys, true, flightSignal)
      for (const key of keys) this.#suspects.delete(key)
      if (this.#suspects.size === 0) this.#session.verified()
    })
  }

  #mark(layer: Layer, { problems, problemCount }: LayerVerdict, deep: boolean): void {
    const { index } = this.#store
    if (problemCount > 0) {
      const text = problemCount === 1 ? problems[0] : `${problems[0]} and ${problemCount - 1} more`
      log.error('layer is damaged', { layer: layer.key, problems })
      index.setDamage(layer.key, text)
    } else if (deep) index.setDamage(layer.key, undefined)
  }
}
