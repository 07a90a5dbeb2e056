import { chmodSync, rmSync, statSync } from 'node:fs'
import { connect, type Server as NetServer } from 'node:net'
import { dirname } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { makeDirectories } from '@coracle/base/make-directories'
import { delay } from '@coracle/base/signals'
import { ImageService, RuntimeService } from '@coracle/cri-api'
import { Imports } from '@coracle/cri-api/imports'
import { Isolation } from '@coracle/cri-api/isolation'
import { Moving } from '@coracle/cri-api/moving'
import { Progress } from '@coracle/cri-api/progress'
import { Pulls } from '@coracle/cri-api/pulls'
import { Registry } from '@coracle/cri-api/registry'
import { Store } from '@coracle/cri-api/store'
import { Why } from '@coracle/cri-api/why'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { RouteDeps } from './deps.ts'
import { importsRoutes } from './imports.ts'
import { isolationRoutes } from './isolation.ts'
import { movingRoutes } from './moving.ts'
import { progressRoutes } from './progress.ts'
import { pullsRoutes } from './pulls.ts'
import { registryRoutes } from './registry.ts'
import { imageRoutes, runtimeRoutes } from './routes.ts'
import { grpcService } from './service.ts'
import { storeRoutes } from './store.ts'
import { whyRoutes } from './why.ts'

const log = logger('cri')

/** Largest request: what a kubelet may send. Largest response: what the peers allow themselves. */
const receiveBytes = 16 * 1024 * 1024 + 4096
const sendBytes = 80 * 1024 * 1024

export interface ListenOptions {
  readonly path: string
  /** cAdvisor is answered on the same socket. */
  readonly servesCadvisor: boolean
}

export interface CriServer {
  /** Takes no more calls, lets those in flight finish for up to `graceMs`, removes the socket. */
  stop(graceMs: number): Promise<void>
}

/**
 * Serves the CRI (v1 and v1alpha2) on a unix socket of mode 0660. A socket that nobody listens on is replaced.
 * Throws `already_exists` when somebody does.
 */
export async function listen({ path, servesCadvisor }: ListenOptions, deps: RouteDeps): Promise<CriServer> {
  await claimSocket(path)
  const closing = new AbortController()
  const server = createGrpcServer(deps, closing.signal)
  const both = servesCadvisor ? await bindBoth(server, path, deps) : await bindAlone(server, path)
  chmodSync(path, 0o660)
  log.info('serving', { socket: path, cadvisor: servesCadvisor })
  return {
    stop: async (graceMs) => {
      // A stream of events ends only when somebody ends it.
      deps.events.close()
      closing.abort()
      both?.(graceMs)
      await stop(server, graceMs)
      rmSync(path, { force: true })
    },
  }
}

async function bindAlone(server: Server, path: string): Promise<undefined> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (err) => (err === null ? resolve() : reject(err)))
  })
}

/** What only a socket with two protocols needs. */
export const loadTwoProtocols = () => Promise.all([import('./cadvisor.ts'), import('./two-protocols.ts')])

/** Returns what ends listening. */
async function bindBoth(server: Server, path: string, deps: RouteDeps): Promise<(graceMs: number) => void> {
  const [{ createCadvisorServer }, { createTwoProtocolServer }] = await loadTwoProtocols()
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const http1 = createCadvisorServer(deps.services)
  const both = createTwoProtocolServer({ http2: (socket) => injector.injectConnection(socket), http1 })
  await listening(both, path)
  return (graceMs) => {
    both.close()
    http1.closeAllConnections()
    injector.drain(graceMs)
  }
}

function listening(server: NetServer, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  return promise
}

function createGrpcServer(deps: RouteDeps, closing: AbortSignal): Server {
  const server = new Server({
    'grpc.max_receive_message_length': receiveBytes,
    'grpc.max_send_message_length': sendBytes,
    'grpc.max_concurrent_streams': 1000,
  })
  const runtime = runtimeRoutes(deps)
  const image = imageRoutes(deps)
  for (const version of ['v1', 'v1alpha2']) {
    for (const { definition, implementation } of [
      grpcService(RuntimeService, runtime, `runtime.${version}.RuntimeService`),
      grpcService(ImageService, image, `runtime.${version}.ImageService`),
    ]) {
      server.addService(definition, implementation)
    }
  }
  for (const { definition, implementation } of [
    grpcService(Progress, progressRoutes(deps.progress)),
    grpcService(Isolation, isolationRoutes(deps)),
    grpcService(Why, whyRoutes(deps)),
    grpcService(Store, storeRoutes(deps)),
    grpcService(Registry, registryRoutes(deps)),
    grpcService(Pulls, pullsRoutes(deps, closing)),
    grpcService(Moving, movingRoutes(deps, closing)),
    grpcService(Imports, importsRoutes(deps, closing)),
  ]) {
    server.addService(definition, implementation)
  }
  return server
}

async function claimSocket(path: string): Promise<void> {
  makeDirectories(dirname(path), 0o711)
  if (Buffer.byteLength(path) > 107)
    throw new CodedError('invalid_argument', `socket path ${path} is longer than 107 bytes (unix(7))`)
  const info = statSync(path, { throwIfNoEntry: false })
  if (info === undefined) return
  if (!info.isSocket()) throw new CodedError('failed_precondition', `${path} exists and is no socket`)
  if (await answers(path)) throw new CodedError('already_exists', `another process serves ${path}`)
  log.info('replacing a stale socket', { socket: path })
  rmSync(path)
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.once('connect', () => {
    socket.destroy()
    resolve(true)
  })
  // A listener whose queue is full is one, too.
  socket.once('error', (err) => resolve(!isErrno(err, 'ECONNREFUSED', 'ENOENT')))
  return promise
}

/** What is left after the force: sessions whose client reads nothing, as one that is suspended, are not waited for. */
const lettingGoMs = 1000

async function stop(server: Server, graceMs: number): Promise<void> {
  const done = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
  const timer = new AbortController()
  const late = (async () => {
    await delay(graceMs, timer.signal)
    server.forceShutdown()
    await delay(lettingGoMs, timer.signal)
    log.warn('a client does not let go of its connection')
  })()
  await Promise.race([done, late])
  timer.abort()
  await late.catch(() => {})
}
