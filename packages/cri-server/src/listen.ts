import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { ImageService, RuntimeService } from '@coracle/cri-api'
import { Isolation } from '@coracle/cri-api/isolation'
import { Progress } from '@coracle/cri-api/progress'
import { Registry } from '@coracle/cri-api/registry'
import { Store } from '@coracle/cri-api/store'
import { Why } from '@coracle/cri-api/why'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { RouteDeps } from './deps.ts'
import { isolationRoutes } from './isolation.ts'
import { progressRoutes } from './progress.ts'
import { registryRoutes } from './registry.ts'
import { imageRoutes, runtimeRoutes } from './routes.ts'
import { grpcService } from './service.ts'
import { storeRoutes } from './store.ts'
import { whyRoutes } from './why.ts'

const log = logger('cri')

/** Largest request: what a kubelet may send. Largest response: what the peers allow themselves. */
const receiveBytes = 16 * 1024 * 1024 + 4096
const sendBytes = 80 * 1024 * 1024

export interface CriServer {
  /** Takes no more calls, lets those in flight finish for up to `graceMs`, removes the socket. */
  stop(graceMs: number): Promise<void>
}

/**
 * Serves the CRI (v1 and v1alpha2) on a unix socket of mode 0660. A socket that nobody listens on is replaced.
 * Throws `already_exists` when somebody does.
 */
export async function listen(socketPath: string, deps: RouteDeps): Promise<CriServer> {
  await claimSocket(socketPath)
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
  ]) {
    server.addService(definition, implementation)
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (err) => (err === null ? resolve() : reject(err)))
  })
  chmodSync(socketPath, 0o660)
  log.info('serving', { socket: socketPath })
  return {
    stop: (graceMs) => {
      // A stream of events ends only when somebody ends it.
      deps.events.close()
      return stop(server, socketPath, graceMs)
    },
  }
}

async function claimSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 })
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

async function stop(server: Server, socketPath: string, graceMs: number): Promise<void> {
  const done = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
  const timer = setTimeout(() => server.forceShutdown(), graceMs)
  await done
  clearTimeout(timer)
  rmSync(socketPath, { force: true })
}
