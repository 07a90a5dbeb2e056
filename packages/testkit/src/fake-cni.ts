// A pod network in memory: it counts who is attached, and fails or waits where it is told to.
import type { Attachment, Cni } from '@coracle/cni'

export interface FakeCni extends Cni {
  /** `add ID`, `del ID`, `gc N`, in order. */
  readonly calls: readonly string[]
  /** Pods that hold an address, also after an ADD that failed half-way. */
  readonly attached: ReadonlySet<string>
  /** The next `times` calls of this kind throw. A failing ADD has allocated nevertheless. */
  failNext(call: 'add' | 'del' | 'gc', error: Error, times?: number): void
  /** Calls of this kind wait until the result is disposed. */
  hold(call: 'add' | 'del'): Disposable
}

export function createFakeCni(): FakeCni {
  const calls: string[] = []
  const attached = new Map<string, string>()
  const failures = new Map<string, Error[]>()
  const holds = new Map<string, Promise<void>>()
  let last = 1
  const enter = async (call: string, id: string) => {
    calls.push(`${call} ${id}`)
    await (holds.get(call) ?? null)
  }
  const fail = (call: string) => {
    const failure = failures.get(call)?.shift()
    if (failure !== undefined) throw failure
  }
  return {
    calls,
    get attached() {
      return new Set(attached.keys())
    },
    failNext: (call, error, times = 1) => failures.set(call, [...(failures.get(call) ?? []), ...Array<Error>(times).fill(error)]),
    hold(call) {
      const { promise, resolve } = Promise.withResolvers<void>()
      holds.set(call, promise)
      return {
        [Symbol.dispose]: () => {
          if (holds.get(call) === promise) holds.delete(call)
          resolve()
        },
      }
    },
    status: () => ({ ready: true }),
    async add({ containerId }: Attachment) {
      await enter('add', containerId)
      const ip = `10.0.${last >> 8}.${last++ & 255}`
      attached.set(containerId, ip)
      fail('add')
      return { ips: [ip], interfaceName: 'eth0', raw: '{}' }
    },
    async del({ containerId }) {
      await enter('del', containerId)
      fail('del')
      attached.delete(containerId)
    },
    check: async () => {},
    async gc(valid) {
      calls.push(`gc ${valid.length}`)
      fail('gc')
      for (const id of attached.keys()) if (!valid.some(({ containerId }) => containerId === id)) attached.delete(id)
    },
    close: () => {},
  }
}
