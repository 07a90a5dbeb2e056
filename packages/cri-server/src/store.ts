// Coracle's own addition beside the CRI: the image store, checked and measured.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DiskUsageResponseSchema, Store as StoreService } from '@coracle/cri-api/store'
import { StoreRepair } from '@coracle/cri-api/store'
import type { Image, LayerUsage, PartUsage, StoreDiskUsage, StoreFinding } from '@coracle/image'
import type { RouteDeps } from './deps.ts'
import type { CallContext, Handlers } from './service.ts'

type Deps = Pick<RouteDeps, 'images' | 'services' | 'host'>
type Response = MessageInitShape<typeof DiskUsageResponseSchema>

const repairs: Readonly<Record<StoreFinding['repair'], StoreRepair>> = {
  'not tried': StoreRepair.NOT_TRIED,
  done: StoreRepair.DONE,
  failed: StoreRepair.FAILED,
}

export const storeRoutes = (deps: Deps): Handlers<typeof StoreService> => ({
  checkStore: ({ deep, repair }, { signal }) => check(deps, { deep, repair }, signal),
  diskUsage: (_request, call) => diskUsage(deps, call),
})

async function* check({ images }: Deps, options: { deep: boolean; repair: boolean }, signal: AbortSignal) {
  const findings: StoreFinding[] = []
  let wake = Promise.withResolvers<void>()
  const onFinding = (finding: StoreFinding) => {
    findings.push(finding)
    wake.resolve()
  }
  let ended = false
  const run = images.check({ ...options, onFinding }, signal).finally(() => {
    ended = true
    wake.resolve()
  })
  // It is awaited below; until then its failure is nobody's.
  run.catch(() => {})
  while (!ended || findings.length > 0) {
    await wake.promise
    wake = Promise.withResolvers<void>()
    if (ended) wake.resolve()
    for (const finding of findings.splice(0)) {
      const { problems, images: ids, containers, repair, ...rest } = finding
      const lists = { problems: [...problems], images: [...ids], containers: [...containers] }
      yield { what: { case: 'finding' as const, value: { ...rest, ...lists, repair: repairs[repair] } } }
    }
  }
  const summary = await run
  const counts = Object.fromEntries(Object.entries(summary).map(([name, count]) => [name, BigInt(count)]))
  yield { what: { case: 'summary' as const, value: counts } }
}

async function diskUsage(deps: Deps, { signal }: CallContext): Promise<Response> {
  const usage = await deps.images.diskUsage(signal)
  const rest = await ownRecords(deps, usage, signal)
  const images = deps.images.list()
  const kept = keptImages(images, usage)
  return {
    images: images.map((image) => imageUsage(image, usage)),
    layers: usage.layers.map((layer) => ({
      ...{ key: layer.key ?? '', path: layer.path, usedBytes: layer.usedBytes, inodes: layer.inodes, readOnly: layer.readOnly },
      images: [...layer.images],
      containers: [...layer.containers],
      reclaimable: !layer.readOnly && layer.containers.length === 0 && !layer.images.some((id) => kept.has(id)),
    })),
    containers: usage.containers.map((container) => ({
      ...container,
      image: container.image ?? '',
      ...ownerOf(deps, container.key),
    })),
    parts: [...usage.parts, ...rest.parts],
    totals: [...rest.totals],
  }
}

/** Images that stay whatever is reclaimed: pinned ones, and those that containers were made from. */
function keptImages(images: readonly Image[], { containers }: StoreDiskUsage): ReadonlySet<string> {
  const pinned = images.filter((image) => image.pinned).map(({ id }) => id)
  return new Set([...pinned, ...containers.flatMap(({ image }) => image ?? [])])
}

function imageUsage(image: Image, { layers, containers }: StoreDiskUsage): NonNullable<Response['images']>[number] {
  const own = layers.filter(({ images }) => images.includes(image.id))
  const sum = (some: readonly LayerUsage[]) => some.reduce((total, { usedBytes }) => total + usedBytes, 0n)
  return {
    id: image.id,
    names: [...image.tags, ...(image.tags.length === 0 ? image.digests : [])],
    pinned: image.pinned,
    readOnly: image.readOnly,
    uniqueBytes: sum(own.filter(({ images }) => images.length === 1)),
    sharedBytes: sum(own.filter(({ images }) => images.length > 1)),
    containers: containers.filter((container) => container.image === image.id).length,
    damage: image.damage ?? '',
  }
}

function ownerOf({ services }: Deps, key: string): { name: string; pod: string; state: string } {
  const container = services.containers.get(key.split('.')[0] ?? '')
  if (container === undefined) return { name: '', pod: '', state: '' }
  const pod = services.pods.get(container.podId)
  const { namespace = '', name = '' } = pod?.config.metadata ?? {}
  return { name: container.config.metadata?.name ?? '', pod: `${namespace}/${name}`, state: container.state.kind }
}

/** What lies beside the images below the daemon's own root: records of pods and containers, networks, files of pods. */
async function ownRecords(
  { services, host }: Deps,
  { totals }: StoreDiskUsage,
  signal: AbortSignal,
): Promise<{ readonly parts: readonly PartUsage[]; readonly totals: readonly PartUsage[] }> {
  const root = services.settings.rootDirectory
  const stores = totals.map(({ path }) => path)
  const holdsStore = (path: string) => stores.some((store) => store === path || store.startsWith(`${path}/`))
  const paths = readdirSync(root)
    .map((name) => join(root, name))
    .filter((path) => !holdsStore(path))
  const measured = await host.paths.diskUsages(paths, signal)
  const whole = await host.paths.diskUsages([root], signal)
  return {
    parts: [...measured].map(([path, usage]) => ({ kind: 'records', path, ...usage })),
    totals: [
      ...[...whole].map(([path, usage]) => ({ kind: 'total' as const, path, ...usage })),
      ...totals.filter(({ path }) => !path.startsWith(`${root}/`)),
    ],
  }
}
