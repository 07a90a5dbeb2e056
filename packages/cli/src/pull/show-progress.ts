// What is seen of a pull while it runs: bars on a terminal, a line per layer elsewhere, a clock when the server tells nothing.
import { delay } from '@coracle/base/signals'
import { LayerState, Progress, type PullProgress } from '@coracle/cri-api/progress'
import type { Context } from '../context.ts'
import type { Screen } from '../print/screen.ts'
import { formatBytes } from '../quantities.ts'
import { renderBars } from './bars.ts'
import { Speeds } from './speeds.ts'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const REPAINT_MS = 100

/** Shows the pull of `image` until `finished` aborts. Never fails: progress is a courtesy. */
export async function showProgress(context: Context, image: string, finished: AbortSignal): Promise<void> {
  const screen = context.err
  const follow = new Follower()
  const followed = follow.run(context, image, finished)
  if (screen.isTerminal) await paintUntil(screen, { image, follow }, finished)
  else await listUntil(screen, { image, follow }, finished)
  await followed
}

/** Keeps the latest message of the server's progress stream, if it has one. */
class Follower {
  latest: PullProgress | undefined
  readonly speeds = new Speeds()

  async run(context: Context, image: string, finished: AbortSignal): Promise<void> {
    try {
      for await (const progress of context.imageClient.service(Progress).pullProgress({ image }, { signal: finished })) {
        this.latest = progress
        this.speeds.note(progress, performance.now())
      }
    } catch {
      // Other runtimes do not have the service; a pull that ends cancels the stream.
    }
  }
}

type Watched = { readonly image: string; readonly follow: Follower }

async function paintUntil(screen: Screen, { image, follow }: Watched, finished: AbortSignal): Promise<void> {
  const startMs = performance.now()
  let painted = 0
  for (let tick = 0; !finished.aborted; tick++) {
    const elapsed = ((performance.now() - startMs) / 1000).toFixed(1)
    const head = `${screen.paint('blue', FRAMES[tick % FRAMES.length] ?? '')} pulling ${image} ${screen.paint('dim', `${elapsed} s`)}`
    const lines = [head, ...(follow.latest ? renderBars(follow.latest, { speeds: follow.speeds, screen }) : [])]
    screen.write(`${erase(painted)}${lines.join('\n')}\n`)
    painted = lines.length
    await delay(REPAINT_MS, finished).catch(() => {})
  }
  screen.write(erase(painted))
}

const erase = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A\r\u001b[J`)

async function listUntil(screen: Screen, { image, follow }: Watched, finished: AbortSignal): Promise<void> {
  screen.line(`pulling ${image}`)
  const told = new Set<string>()
  const tell = () => {
    for (const { digest, state, totalBytes } of follow.latest?.layers ?? []) {
      const word = state === LayerState.DONE ? 'done' : state === LayerState.EXISTS ? 'already here' : undefined
      if (word && !told.has(digest))
        screen.line(`layer ${digest.replace('sha256:', '').slice(0, 12)} ${word}, ${formatBytes(totalBytes)}`)
      if (word) told.add(digest)
    }
  }
  while (!finished.aborted) {
    tell()
    await delay(REPAINT_MS, finished).catch(() => {})
  }
  tell()
}
