// A CRI server that somebody else runs: CRI_ENDPOINT=unix:///…. It is not restarted, and leaks are its owner's to look for.
import { connect } from '@coracle/cri-api'
import type { TestNode } from './node.ts'
import { makeWorld } from './world.ts'

const notOurs = async (): Promise<never> => {
  throw new Error('the daemon at CRI_ENDPOINT is not ours to stop')
}

/** A node around a running server. Its name decides which known differences apply. */
export async function externalNode(endpoint: string): Promise<TestNode> {
  const client = connect(endpoint, { timeoutMs: 120_000 })
  const { runtimeName } = await client.runtime.version({})
  const world = await makeWorld()
  const pods = new Set<string>()
  const clear = async () => {
    for (const podSandboxId of pods) {
      await client.runtime.stopPodSandbox({ podSandboxId }).catch(() => undefined)
      await client.runtime.removePodSandbox({ podSandboxId }).catch(() => undefined)
    }
  }
  return {
    product: runtimeName === 'containerd' ? 'containerd' : 'coracle',
    world,
    client,
    ids: pods,
    pid: () => -1,
    kill9: notOurs,
    stop: notOurs,
    restart: notOurs,
    ended: () => new Promise(() => {}),
    log: () => '',
    leaks: async () => [],
    clear,
    async [Symbol.asyncDispose]() {
      await clear()
      await client.close()
      await world.remove()
    },
  }
}
