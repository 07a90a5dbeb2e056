import { explain } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { parsePairs } from '../select.ts'
import { frame, type Picture, plainTable } from '../top/frame.ts'
import { fullScreen } from '../top/full-screen.ts'
import { containerRows, podRows, type Snapshot, type SortKey, sortKeys, type View } from '../top/rows.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'top',
  summary: 'Watch what containers and pods use',
  usage: 'top [options]',
  description:
    'Live on a terminal: keys c m d n t sort, p changes between containers and pods, + and - the pace, q leaves.\n' +
    'CPU: 100 is one CPU. MEM is the working set, MEM % that of the limit. With --once, or where there is no terminal, one table.',
  options: {
    once: { kind: 'flag', help: 'print one table and end' },
    pods: { kind: 'flag', short: 'p', help: 'pods instead of containers' },
    sort: { kind: 'string', value: 'KEY', choices: [...sortKeys], help: 'cpu (default), mem, disk, net or name' },
    label: { kind: 'list', value: 'KEY=VALUE', help: 'of pods with the label' },
    seconds: { kind: 'number', short: 's', value: 'N', help: 'between two looks (default 2; 1 with --once)' },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle top', 'coracle top --once --pods --sort mem'],
  async run(context, options) {
    const isLive = !options.once && context.out.isTerminal && process.stdin.isTTY === true
    const seconds = options.seconds ?? (isLive ? 2 : 1)
    if (!(seconds > 0 && seconds <= 3600)) throw new UsageError('--seconds must be above 0 and at most 3600')
    const filter = { labelSelector: parsePairs('label', options.label) }
    const look = async (): Promise<Snapshot> => (await context.runtime.listPodSandboxStats({ filter })).stats
    const state: State = {
      view: options.pods ? 'pods' : 'containers',
      sort: (options.sort as SortKey | undefined) ?? 'cpu',
      seconds,
    }
    const before = await look()
    if (isLive) return void (await watch(context, { state, look, before }))
    await delay(seconds * 1000, context.interruption())
    context.out.write(plainTable(pictureOf(state, before, await look())))
  },
})

interface State {
  view: View
  sort: SortKey
  seconds: number
}

const pictureOf = (state: State, before: Snapshot, after: Snapshot): Picture => ({
  ...state,
  rows: (state.view === 'pods' ? podRows : containerRows)(before, after),
})

interface Watched {
  readonly state: State
  readonly look: () => Promise<Snapshot>
  readonly before: Snapshot
}

async function watch(context: Context, { state, look, before }: Watched): Promise<void> {
  using screen = fullScreen()
  const left = new AbortController()
  let [last, now]: Snapshot[] = [before, before]
  let problem: string | undefined
  let wake = new AbortController()
  const draw = () => {
    const size = { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 }
    screen.show(frame({ ...pictureOf(state, last ?? [], now ?? []), problem }, size, context.out.paint))
  }
  const interrupted = context.interruption()
  interrupted.addEventListener('abort', () => left.abort(), { once: true })
  screen.onKey((key) => {
    if (key === 'q' || key === '\u0003') left.abort()
    if (changes(state, key)) wake.abort()
    draw()
  })
  process.stdout.on('resize', draw)
  try {
    while (!left.signal.aborted) {
      draw()
      wake = new AbortController()
      // A change of the pace begins anew at once.
      await delay(state.seconds * 1000, AbortSignal.any([left.signal, wake.signal])).catch(() => {})
      if (left.signal.aborted || wake.signal.aborted) continue
      try {
        const next = await look()
        ;[last, now, problem] = [now, next, undefined]
      } catch (err) {
        // The daemon may be restarting.
        problem = explain(err)
      }
    }
  } finally {
    process.stdout.off('resize', draw)
  }
  interrupted.throwIfAborted()
}

const sortedBy: Readonly<Record<string, SortKey>> = { c: 'cpu', m: 'mem', d: 'disk', n: 'name', t: 'net' }

/** Whether the pace has changed. */
function changes(state: State, key: string): boolean {
  const sort = sortedBy[key]
  if (sort !== undefined) state.sort = sort
  if (key === 'p') state.view = state.view === 'pods' ? 'containers' : 'pods'
  if (key === '+') state.seconds = Math.max(0.5, state.seconds / 2)
  if (key === '-') state.seconds = Math.min(60, state.seconds * 2)
  return key === '+' || key === '-'
}
