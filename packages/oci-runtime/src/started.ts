import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isObject } from '@coracle/base/parse-json'
import { cleanupSignal } from '@coracle/base/signals'
import { tryCommand } from './command.ts'
import type { RuntimeContext } from './context.ts'
import type { ContainerPaths } from './oci-runtime.ts'

/** Whether the container's program was started; false when the runtime does not know the container. */
export async function isStarted(ctx: RuntimeContext, paths: ContainerPaths): Promise<boolean> {
  const action = `ask for the state of container ${paths.id}`
  const request = { action, args: ['state', paths.id], timeoutMs: ctx.timeouts.stateMs, signal: cleanupSignal() }
  const { exitCode, stdout } = await tryCommand(ctx, request)
  const status = exitCode === 0 ? parseStatus(stdout.toString('utf8')) : undefined
  // A stopped container may have been killed before its start: then the fifo on which its init waited is still there.
  if (status === 'stopped') return !existsSync(join(ctx.runtimeRoot, paths.id, 'exec.fifo'))
  return status === 'running' || status === 'paused'
}

/** `status` of runtime-spec runtime.md#state. Undefined when `text` is no such document. */
export function parseStatus(text: string): string | undefined {
  try {
    const state: unknown = JSON.parse(text)
    return isObject(state) && typeof state['status'] === 'string' ? state['status'] : undefined
  } catch {
    return undefined
  }
}
