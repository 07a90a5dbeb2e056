// The scene of every crash test: a node with a pod that must live through everything, and a crash at a named place.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ContainerState, PodSandboxState } from '@coracle/cri-api'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type ContainerUnderTest, Cri, type PodUnderTest } from '../cri/suite.ts'

export interface Scene {
  readonly cri: Cri
  /** A pod and container that were there before the crash. */
  readonly survivor: { readonly pod: PodUnderTest; readonly container: ContainerUnderTest; readonly ticks: () => number }
}

/** A fresh node for each test: a crash must not profit from what another left. */
export function crashTests(
  name: string,
  define: (crashTest: (what: string, body: (scene: Scene) => Promise<void>) => void) => void,
): void {
  describe(name, needsRoot(), () => {
    define((what, body) => {
      it(what, async () => {
        await using cri = await new Cri().open({ faultyPlugin: true })
        const pod = await cri.pod()
        const container = await pod.run({ command: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'] })
        const scene = { cri, survivor: { pod, container, ticks: () => container.log().length } }
        try {
          await body(scene)
          await assertSurvived(scene)
        } catch (err) {
          console.error(`--- log of the daemon, at the end of: ${what}\n${cri.newLog()}`)
          throw err
        }
      })
    })
  })
}

/** The pod from before is as it was, and its container still writes. */
export async function assertSurvived({ survivor: { pod, container, ticks } }: Scene): Promise<void> {
  assert.equal((await pod.status()).state, PodSandboxState.SANDBOX_READY)
  const status = await container.status()
  assert.equal(status.state, ContainerState.CONTAINER_RUNNING)
  const before = ticks()
  assert.equal(await container.sh('sleep 0.5; echo alive'), 'alive')
  assert.ok(ticks() > before, 'it writes its log')
}

/**
 * Starts the daemon again with a failpoint that kills it, makes the call, and starts the daemon anew when it is dead.
 * Resolves to whether it was killed: a point that the call does not pass is a mistake of the table.
 */
export async function crashAt({ cri }: Scene, point: string, call: () => Promise<unknown>): Promise<void> {
  await cri.node.restart(['--failpoint', `${point}=kill`])
  const outcome = await call().then(
    () => 'answered',
    () => 'failed',
  )
  const ended = cri.node.ended().then(() => 'ended')
  const verdict = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10_000, 'alive'))])
  assert.equal(verdict, 'ended', `the daemon was not killed at ${point}: the call ${outcome}`)
  await cri.node.restart()
}
