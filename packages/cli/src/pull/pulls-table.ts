// All pulls under way as a table.
import { LayerState } from '@coracle/cri-api/progress'
import { type Pull, PullPhase } from '@coracle/cri-api/pulls'
import { renderTable } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

const headings = ['IMAGE', 'LAYERS', 'DOWNLOADED', 'SPEED', 'LEFT', 'SINCE', 'WAITING']

/** One row a pull. `nowMs`: milliseconds after 1970. */
export function renderPulls(pulls: readonly Pull[], nowMs: number): string {
  if (pulls.length === 0) return 'nothing is being pulled\n'
  return renderTable(
    headings,
    pulls.map((pull) => [
      pull.image,
      layersText(pull),
      pull.phase === PullPhase.RESOLVING ? '-' : `${formatBytes(pull.downloadedBytes)} / ${formatBytes(pull.totalBytes)}`,
      pull.bytesPerSecond > 0n ? `${formatBytes(pull.bytesPerSecond)}/s` : '-',
      pull.etaMs === undefined ? '-' : duration(Number(pull.etaMs)),
      duration(nowMs - Number(pull.startedAt / 1_000_000n)),
      waitersText(pull.waiters),
    ]),
  )
}

function layersText({ phase, layers }: Pull): string {
  if (phase === PullPhase.RESOLVING) return 'asking the registry'
  if (phase === PullPhase.RECORDING) return 'being recorded'
  const count = (...states: LayerState[]) => layers.filter(({ state }) => states.includes(state)).length
  const finished = `${count(LayerState.DONE, LayerState.EXISTS)}/${layers.length}`
  const [coming, unpacking] = [count(LayerState.DOWNLOADING), count(LayerState.UNPACKING)]
  return [finished, coming > 0 ? `${coming} coming` : '', unpacking > 0 ? `${unpacking} unpacking` : '']
    .filter(Boolean)
    .join(', ')
}

/** Equal names once, with how many they are. */
function waitersText(waiters: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of waiters) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} (${count})`)).join(', ')
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  return seconds < 7200
    ? `${Math.floor(seconds / 60)}m${seconds % 60}s`
    : `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`
}
