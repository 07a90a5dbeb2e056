import { type LayerProgress, LayerState, type PullProgress } from '@coracle/cri-api/progress'
import type { Screen } from '../print/screen.ts'
import { formatBytes } from '../quantities.ts'
import type { Speeds } from './speeds.ts'

const MAX_BARS = 12

const WORDS: Record<LayerState, string> = {
  [LayerState.WAITING]: 'waiting',
  [LayerState.DOWNLOADING]: '',
  [LayerState.UNPACKING]: 'unpacking',
  [LayerState.DONE]: 'done',
  [LayerState.EXISTS]: 'already here',
}

/** One bar a layer and one for all of them, no line wider than the screen. Of many layers those that move are shown. */
export function renderBars(
  progress: PullProgress,
  { speeds, screen }: { readonly speeds: Speeds; readonly screen: Screen },
): string[] {
  const { layers } = progress
  if (layers.length === 0) return []
  const barWidth = Math.max(8, Math.min(32, screen.columns - 58))
  const moving = layers.filter(({ state }) => state === LayerState.DOWNLOADING || state === LayerState.UNPACKING)
  const shown = layers.length <= MAX_BARS ? layers : moving.slice(0, MAX_BARS)
  const lines = shown.map((layer) => layerLine(layer, { speeds, screen, barWidth }))
  const done = layers.filter(({ state }) => state === LayerState.DONE || state === LayerState.EXISTS).length
  const downloaded = sum(layers.map(downloadedOf))
  const total = sum(layers.map(({ totalBytes }) => Number(totalBytes)))
  const figures = `${formatBytes(downloaded)} / ${formatBytes(total)}`.padEnd(21)
  const tail = `${speedText(speeds.bytesPerSecond())} ${done}/${layers.length} layers`
  return [...lines, `  ${'total'.padEnd(12)} ${bar(downloaded, total, barWidth)} ${figures} ${tail}`]
}

function layerLine(
  layer: LayerProgress,
  view: { readonly speeds: Speeds; readonly screen: Screen; readonly barWidth: number },
): string {
  const id = layer.digest.replace('sha256:', '').slice(0, 12)
  const downloaded = downloadedOf(layer)
  const word = WORDS[layer.state] || speedText(view.speeds.bytesPerSecond(layer.digest))
  const figures = `${formatBytes(downloaded)} / ${formatBytes(layer.totalBytes)}`.padEnd(21)
  const finished = layer.state === LayerState.DONE || layer.state === LayerState.EXISTS
  const drawn = bar(downloaded, Number(layer.totalBytes), view.barWidth)
  return `  ${id} ${finished ? view.screen.paint('green', drawn) : drawn} ${figures} ${view.screen.paint('dim', word)}`
}

/** A layer that needs no download counts as downloaded. */
function downloadedOf({ state, downloadedBytes, totalBytes }: LayerProgress): number {
  return Number(state === LayerState.EXISTS || state === LayerState.DONE ? totalBytes : downloadedBytes)
}

function bar(part: number, whole: number, width: number): string {
  const filled = whole <= 0 ? 0 : Math.min(width, Math.round((part / whole) * width))
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
}

const speedText = (bytesPerSecond: number): string => (bytesPerSecond > 0 ? `${formatBytes(Math.round(bytesPerSecond))}/s` : '')
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
