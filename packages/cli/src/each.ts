import { explain } from '@coracle/base/errors'
import type { Context } from './context.ts'

/** Does `act` for every target in order; one that fails is reported and the rest still done. Exit code 1 if any failed. */
export async function forEachTarget<T>(
  context: Context,
  targets: readonly T[],
  act: (target: T) => Promise<void>,
): Promise<number> {
  if (targets.length === 1) {
    for (const target of targets) await act(target)
    return 0
  }
  let exitCode = 0
  for (const target of targets) {
    try {
      await act(target)
    } catch (err) {
      exitCode = 1
      context.err.line(`${context.err.paint('red', 'coracle:')} ${explain(err).replaceAll(/\s*\n\s*/g, ' ')}`)
    }
  }
  return exitCode
}
