// The tables of `coracle df`.
import type { DiskUsageContainer, DiskUsageLayer, DiskUsagePart, DiskUsageResponse } from '@coracle/cri-api/store'
import { renderTable, shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

interface Line {
  readonly type: string
  readonly count: number
  readonly active: number
  readonly bytes: bigint
  readonly reclaimable: bigint
}

interface Sized {
  readonly usedBytes: bigint
}

const sum = (items: readonly Sized[]): bigint => items.reduce((total, { usedBytes }) => total + usedBytes, 0n)
const ended = ({ state }: DiskUsageContainer): boolean => state === 'exited' || state === ''
const own = (layers: readonly DiskUsageLayer[]): readonly DiskUsageLayer[] => layers.filter(({ readOnly }) => !readOnly)

/** One line for each kind of thing; their sum and what du(1) says of the directories stand below. */
export function renderSummary(usage: DiskUsageResponse): string {
  const lines = summaryLines(usage)
  const accounted = lines.reduce((total, { bytes }) => total + bytes, 0n)
  const measured = sum(usage.totals)
  // Directories that hold the others, and what came or went while it was measured.
  const rest = measured > accounted ? measured - accounted : 0n
  const rows = [...lines, { type: 'Directories', count: usage.totals.length, active: 0, bytes: rest, reclaimable: 0n }]
  const total = rows.reduce((all, { reclaimable }) => all + reclaimable, 0n)
  return renderTable(
    ['TYPE', 'COUNT', 'ACTIVE', 'SIZE', 'RECLAIMABLE'],
    [
      ...rows.map(({ type, count, active, bytes, reclaimable }) => [
        type,
        String(count),
        String(active),
        formatBytes(bytes),
        share(reclaimable, bytes),
      ]),
      ['Total', '', '', formatBytes(accounted + rest), share(total, accounted + rest)],
    ],
  )
}

/** Every byte in exactly one of them. */
export function summaryLines({ layers, images, containers, parts }: DiskUsageResponse): readonly Line[] {
  const group = (type: string, some: readonly DiskUsageLayer[]): Line => ({
    type,
    count: some.length,
    active: some.filter((layer) => layer.containers.length > 0).length,
    bytes: sum(some),
    reclaimable: sum(some.filter(({ reclaimable }) => reclaimable)),
  })
  const mine = own(layers)
  const part = (type: string, kinds: readonly string[], isReclaimable: boolean): Line => {
    const some = parts.filter(({ kind }) => kinds.includes(kind))
    return { type, count: some.length, active: 0, bytes: sum(some), reclaimable: isReclaimable ? sum(some) : 0n }
  }
  const unique = group(
    'Images',
    mine.filter((layer) => layer.images.length === 1),
  )
  return [
    {
      ...unique,
      count: images.filter(({ readOnly }) => !readOnly).length,
      active: images.filter((i) => i.containers > 0).length,
    },
    group(
      'Shared layers',
      mine.filter((layer) => layer.images.length > 1),
    ),
    group(
      'Layers without image',
      mine.filter((layer) => layer.images.length === 0),
    ),
    {
      type: 'Containers',
      count: containers.length,
      active: containers.filter(({ state }) => state === 'running').length,
      bytes: sum(containers),
      reclaimable: sum(containers.filter(ended)),
    },
    part('Pulls under way', ['partial'], false),
    part('Orphans', ['orphan'], true),
    part('Trash', ['trash'], true),
    part('Records', ['records'], false),
    part('Compressed layers', ['blobs'], false),
    part('Cache', ['cache'], true),
  ]
}

export function renderDetails({ images, layers, containers, parts, totals }: DiskUsageResponse): string {
  const notes = (flags: readonly (readonly [boolean, string])[]) => flags.flatMap(([is, word]) => (is ? [word] : [])).join(', ')
  const part = ({ kind, path, usedBytes, inodes }: DiskUsagePart) => [kind, formatBytes(usedBytes), String(inodes), path]
  const tables = [
    renderTable(
      ['IMAGE', 'UNIQUE', 'SHARED', 'CONTAINERS', 'NAMES', 'NOTES'],
      images.map(({ id, uniqueBytes, sharedBytes, containers: users, names, pinned, readOnly, damage }) => [
        shortId(id),
        formatBytes(uniqueBytes),
        formatBytes(sharedBytes),
        String(users),
        names.join(' '),
        notes([
          [pinned, 'pinned'],
          [readOnly, 'read-only store'],
          [damage !== '', 'damaged'],
        ]),
      ]),
    ),
    renderTable(
      ['LAYER', 'SIZE', 'INODES', 'IMAGES', 'CONTAINERS', 'NOTES'],
      layers.map(({ key, usedBytes, inodes, images: having, containers: users, readOnly, reclaimable }) => [
        key === '' ? '(damaged copy)' : shortId(key),
        formatBytes(usedBytes),
        String(inodes),
        String(having.length),
        String(users.length),
        notes([
          [readOnly, 'read-only store'],
          [reclaimable, 'reclaimable'],
        ]),
      ]),
    ),
    renderTable(
      ['CONTAINER', 'SIZE', 'INODES', 'STATE', 'NAME', 'POD'],
      containers.map(({ key, usedBytes, inodes, state, name, pod }) => [
        shortId(key),
        formatBytes(usedBytes),
        String(inodes),
        state || 'unknown',
        name,
        pod,
      ]),
    ),
    renderTable(['PART', 'SIZE', 'INODES', 'PATH'], [...parts, ...totals].map(part)),
  ]
  return tables.map((table) => `\n${table}`).join('')
}

const share = (part: bigint, whole: bigint): string =>
  whole === 0n || part === 0n ? formatBytes(part) : `${formatBytes(part)} (${(part * 100n) / whole}%)`
