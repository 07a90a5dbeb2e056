// What is seen of a pull while it runs: bars on a terminal, a line per layer elsewhere, a clock when the server tells nothing.
import { delay } from '@coracle/base/signals'
import { LayerState, Progress, type PullProgress } from '@coracle/cri-api/progress'
import type { Context } from '../context.ts'
import type { Screen } from '../print/screen.ts'
import { formatBytes } from '../quantities.ts'
import { paintUntil, REPAINT_MS } from './paint.ts'
import { Speeds } from './speeds.ts'

/** Shows the pull of `image` until `finished` aborts. Never fails: progress is a courtesy. */
export async function showProgress(context: Context, image: string, finished: AbortSignal): Promise<void> {
  const screen = context.err
  const follow = new Follower()
  const followed = follow.run(context, image, finished)
  const picture = { title: () => `pulling ${image}`, progress: () => follow.latest, speeds: follow.speeds }
  if (screen.isTerminal) await paintUntil(screen, picture, finished)
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
