import { rm } from 'node:fs/promises'
import type { Context } from '../context.ts'
import { runLogDirectory } from './config.ts'

type RemovablePod = { readonly id: string; readonly metadata?: { readonly name: string; readonly uid: string } | undefined }

/** Removes the pod, and the logs that `coracle run` had put beside it: no kubelet looks after those. */
export async function removePod({ runtime }: Pick<Context, 'runtime'>, { id, metadata }: RemovablePod): Promise<void> {
  await runtime.removePodSandbox({ podSandboxId: id })
  const logs = metadata && runLogDirectory(metadata)
  if (logs) await rm(logs, { recursive: true, force: true })
}
