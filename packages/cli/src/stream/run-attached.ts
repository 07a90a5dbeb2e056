// A container that was just created, with the user's streams tied to it from its first byte on.
import { codeOf } from '@coracle/base/errors'
import type { Context } from '../context.ts'
import { type AttachRequest, attachTo, exitCodeOf } from './attach.ts'
import type { SessionEnd } from './session.ts'

export type AttachedRun = AttachRequest & { readonly detachKeys: Buffer }

/** Starts the container and resolves when it has ended, with its exit code, or the user detached. */
export async function runAttached(context: Context, request: AttachedRun): Promise<SessionEnd> {
  const { containerId, tty, detachKeys } = request
  // Some runtimes attach only to what runs already: there the first words of the program may be lost.
  const early = await attachTo(context, request).catch((err: unknown) => {
    if (codeOf(err) === 'failed_precondition' || codeOf(err) === 'unknown' || codeOf(err) === 'internal') return undefined
    throw err
  })
  await context.runtime.startContainer({ containerId })
  const session = early ?? (await attachTo(context, request))
  const end = await session.run({ tty, detachKeys, signal: context.interruption() })
  return end.kind === 'detached' ? end : { kind: 'ended', exitCode: await exitCodeOf(context, containerId) }
}
