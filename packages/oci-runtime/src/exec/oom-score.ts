import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import type { Process } from '@coracle/oci-spec/runtime-spec'
import type { RuntimeContext } from '../context.ts'

const log = logger('oci-runtime')

/**
 * Gives an exec'ed process the container's oom_score_adj: crun 1.8 leaves it at the daemon's, which may be that of a process never to be killed;
 * runc takes that of the container's creation. gVisor's processes are not on this kernel.
 */
export function applyOomScore(ctx: RuntimeContext, pid: number, { oomScoreAdj }: Process): void {
  if (oomScoreAdj === undefined || ctx.kind === 'runsc') return
  const { processes } = ctx.deps
  const process = processes.identify(pid)
  if (process === undefined) return
  try {
    processes.setOomScoreAdj(process, oomScoreAdj)
  } catch (err) {
    log.warn('oom_score_adj of an exec was not set', { pid, error: explain(err) })
  }
}
