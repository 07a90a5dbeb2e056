// What every command gets: the connection, dialled when first used, and where to write.
import type { CriClient } from '@coracle/cri-api'
import type { Screen } from './print/screen.ts'

export type Endpoints = {
  readonly runtimeSocket: string
  readonly imageSocket: string
  /** Deadline of an ordinary call in milliseconds; 0 = none. */
  readonly timeoutMs: number
}

export interface Context extends AsyncDisposable {
  readonly endpoints: Endpoints
  readonly out: Screen
  readonly err: Screen
  /** Aborts when the user interrupts; nothing listens until a command asks for it. */
  interruption(): AbortSignal
  readonly runtime: CriClient['runtime']
  readonly image: CriClient['image']
  readonly client: CriClient
  /** The client that serves images: the same one unless --image-endpoint says otherwise. */
  readonly imageClient: CriClient
}

type Connect = (socketPath: string, options: { readonly timeoutMs: number }) => CriClient

export function createContext(options: {
  readonly endpoints: Endpoints
  readonly out: Screen
  readonly err: Screen
  readonly connect: Connect
}): Context {
  const { endpoints, out, err } = options
  const clients = new Map<string, CriClient>()
  let interrupted: AbortController | undefined
  const clientOf = (socketPath: string): CriClient => {
    const client = clients.get(socketPath) ?? options.connect(socketPath, { timeoutMs: endpoints.timeoutMs })
    clients.set(socketPath, client)
    return client
  }
  return {
    endpoints,
    out,
    err,
    interruption() {
      if (!interrupted) {
        const controller = new AbortController()
        interrupted = controller
        for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort(new Interrupted(name)))
      }
      return interrupted.signal
    },
    get client() {
      return clientOf(endpoints.runtimeSocket)
    },
    get imageClient() {
      return clientOf(endpoints.imageSocket)
    },
    get runtime() {
      return this.client.runtime
    },
    get image() {
      return this.imageClient.image
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...clients.values()].map((client) => client.close()))
    },
  }
}

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** The user pressed Ctrl-C (or sent SIGTERM, or closed the terminal). The exit code is the one that shells expect. */
export class Interrupted extends Error {
  override readonly name = 'AbortError'
  readonly exitCode: number
  constructor(signalName: keyof typeof exitCodes) {
    super('interrupted')
    this.exitCode = exitCodes[signalName]
  }
}
