// A picture of several lines on a terminal, painted over itself until the work is done.
import { delay } from '@coracle/base/signals'
import type { PullProgress } from '@coracle/cri-api/progress'
import type { Screen } from '../print/screen.ts'
import { renderBars } from './bars.ts'
import type { Speeds } from './speeds.ts'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
export const REPAINT_MS = 100

export type Picture = {
  /** What goes on, in a few words. */
  readonly title: () => string
  readonly progress: () => PullProgress | undefined
  readonly speeds: Speeds
}

/** Leaves nothing on the screen. */
export async function paintUntil(screen: Screen, { title, progress, speeds }: Picture, finished: AbortSignal): Promise<void> {
  const startMs = performance.now()
  let painted = 0
  for (let tick = 0; !finished.aborted; tick++) {
    const elapsed = ((performance.now() - startMs) / 1000).toFixed(1)
    const words = `${title()} ${elapsed} s`.length + 2 > screen.columns ? `${title().slice(0, screen.columns - 12)}…` : title()
    const head = `${screen.paint('blue', FRAMES[tick % FRAMES.length] ?? '')} ${words} ${screen.paint('dim', `${elapsed} s`)}`
    const known = progress()
    const lines = [head, ...(known ? renderBars(known, { speeds, screen }) : [])]
    screen.write(`${erase(painted)}${lines.join('\n')}\n`)
    painted = lines.length
    await delay(REPAINT_MS, finished).catch(() => {})
  }
  screen.write(erase(painted))
}

const erase = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A\r\u001b[J`)
