// Turns handlers into a gRPC service: request id, deadline, one log line, errors; an onion around all RPCs.

import type { EventEmitter } from 'node:events'
import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { CodedError } from '@coracle/base/errors'
import { logger, withRequestId } from '@coracle/base/log'
import { create, fromBinary, toBinary } from '@coracle/cri-api/protobuf'
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { recordCall } from './call-statistics.ts'
import { Encoded } from './encoded.ts'
import { toGrpc, unimplemented } from './errors.ts'
import { summarise } from './summary.ts'

export interface CallContext {
  /** Aborts when the caller cancels, leaves, or its deadline passes. */
  readonly signal: AbortSignal
  readonly apiVersion: 'v1' | 'v1alpha2'
}

export type Handler<M extends DescMethod> = M extends { methodKind: 'server_streaming' }
  ? (request: MessageShape<M['input']>, call: CallContext) => AsyncIterable<MessageInitShape<M['output']> | Encoded>
  : (
      request: MessageShape<M['input']>,
      call: CallContext,
    ) => Promise<MessageInitShape<M['output']> | Encoded> | MessageInitShape<M['output']> | Encoded

/** Handlers by method; those left out answer Unimplemented. */
export type Handlers<S extends DescService> = { readonly [K in keyof S['method']]?: Handler<S['method'][K]> }

type AnyHandler = (request: Message, call: CallContext) => unknown

const log = logger('cri')

/** RPCs that a kubelet sends all the time; logged at debug level unless they fail. */
const frequent = /^(List|Stream|Status$|Version$|PodSandboxStatus|ContainerStatus|ImageStatus|ImageFsInfo|ExecSync|.*Stats)/

let serial = 0

/** A definition and implementation that grpc-js takes, serving `service` under the package name `typeName` says. */
export function grpcService<S extends DescService>(service: S, handlers: Handlers<S>, typeName = service.typeName) {
  const definition: Record<string, ServiceDefinition[string]> = {}
  const implementation: UntypedServiceImplementation = {}
  const apiVersion = typeName.includes('v1alpha2') ? 'v1alpha2' : 'v1'
  for (const method of service.methods) {
    // A handler's request type is that of its own method: the lookup by name is what connects them.
    const handler = handlers[method.localName as keyof typeof handlers] as AnyHandler | undefined
    const streaming = method.methodKind === 'server_streaming'
    definition[method.name] = {
      path: `/${typeName}/${method.name}`,
      requestStream: false,
      responseStream: streaming,
      requestSerialize: (message: Message) => Buffer.from(toBinary(method.input, message)),
      requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
      responseSerialize: (response: object) => encode(method, response),
      responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
    }
    const run = handler ?? (() => Promise.reject(unimplemented(method.name)))
    implementation[method.name] = streaming ? streamingCall(method, run, apiVersion) : unaryCall(method, run, apiVersion)
  }
  return { definition, implementation }
}

function encode(method: DescMethod, response: object): Buffer {
  if (response instanceof Encoded) return response.bytes
  const bytes = toBinary(method.output, create(method.output, response as Record<string, unknown>))
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

type AnyCall = ServerUnaryCall<Message, object> | ServerWritableStream<Message, object>

function signalOf(call: AnyCall): AbortSignal {
  const controller = new AbortController()
  const emitter: EventEmitter = call
  const onCancelled = () => {
    const deadline = call.getDeadline()
    const at = deadline instanceof Date ? deadline.getTime() : deadline
    const passed = at <= Date.now() + 5
    controller.abort(
      passed
        ? new CodedError('deadline_exceeded', 'the deadline of the call has passed')
        : new CodedError('canceled', 'the caller left'),
    )
  }
  // It may have left while its request was still being read.
  if (call.cancelled) onCancelled()
  else emitter.once('cancelled', onCancelled)
  return controller.signal
}

function unaryCall(
  method: DescMethod,
  handler: AnyHandler,
  apiVersion: CallContext['apiVersion'],
): handleUnaryCall<Message, object> {
  return (call, callback) => {
    const signal = signalOf(call)
    const start = performance.now()
    withRequestId(`r${++serial}`, async () => {
      try {
        const response = (await handler(call.request, { signal, apiVersion })) as object
        callback(null, response)
        finished(method, call.request, start)
      } catch (err) {
        const failure = toGrpc(err, signal)
        callback(failure)
        finished(method, call.request, start, failure)
      }
    })
  }
}

function streamingCall(
  method: DescMethod,
  handler: AnyHandler,
  apiVersion: CallContext['apiVersion'],
): handleServerStreamingCall<Message, object> {
  return (call) => {
    const signal = signalOf(call)
    const start = performance.now()
    withRequestId(`r${++serial}`, async () => {
      try {
        // An unimplemented method rejects instead of iterating.
        const responses = (await handler(call.request, { signal, apiVersion })) as AsyncIterable<object>
        for await (const response of responses) {
          signal.throwIfAborted()
          if (!call.write(response)) await drained(call, signal)
        }
        call.end()
        finished(method, call.request, start)
      } catch (err) {
        const failure = toGrpc(err, signal)
        call.emit('error', failure)
        finished(method, call.request, start, failure)
      }
    })
  }
}

/** Resolves when more may be written, or nobody reads any more. */
function drained(call: EventEmitter, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = () => {
    call.off('drain', done)
    signal.removeEventListener('abort', done)
    resolve()
  }
  call.once('drain', done)
  signal.addEventListener('abort', done, { once: true })
  if (signal.aborted) done()
  return promise
}

function finished(method: DescMethod, request: Message, start: number, failure?: { code: status; details: string }): void {
  recordCall(method.name, status[failure?.code ?? status.OK], (performance.now() - start) / 1000)
  const fields = {
    rpc: method.name,
    ms: Math.round((performance.now() - start) * 100) / 100,
    code: status[failure?.code ?? status.OK],
    ...summarise(request),
  }
  if (failure !== undefined && failure.code !== status.UNIMPLEMENTED && failure.code !== status.NOT_FOUND)
    log.warn('call', { ...fields, error: failure.details })
  else if (frequent.test(method.name)) log.debug('call', fields)
  else log.info('call', fields)
}
