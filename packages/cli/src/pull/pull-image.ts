// The pull itself, with whatever progress the server can tell.

import { invalid } from '@coracle/base/errors'
import type { PodSandboxConfig } from '@coracle/cri-api'
import type { Context } from '../context.ts'
import { authFrom, type CredentialOptions } from './credentials.ts'
import { showProgress } from './show-progress.ts'

export type PullRequest = {
  readonly image: string
  readonly credentials?: CredentialOptions
  readonly sandboxConfig?: PodSandboxConfig
  readonly annotations?: Record<string, string>
  /** Says nothing on the way. */
  readonly quiet?: boolean
  /** Milliseconds; none when absent: large images take their time, and the server watches for progress itself. */
  readonly timeoutMs?: number | undefined
}

/** Pulls and returns the image reference of the server. Ctrl-C cancels the pull. */
export async function pullImage(context: Context, request: PullRequest): Promise<string> {
  if (request.image === '') throw invalid('the container configuration names no image')
  const auth = request.credentials && (await authFrom(request.credentials))
  const finished = new AbortController()
  const pulled = context.image.pullImage(
    {
      image: { image: request.image, annotations: request.annotations ?? {} },
      ...(auth ? { auth } : {}),
      ...(request.sandboxConfig ? { sandboxConfig: request.sandboxConfig } : {}),
    },
    { timeoutMs: request.timeoutMs ?? 0, signal: context.interruption() },
  )
  const shown = request.quiet ? undefined : showProgress(context, request.image, finished.signal)
  try {
    return (await pulled).imageRef
  } finally {
    finished.abort()
    await shown
  }
}
