// Turns handlers into a gRPC service: request id, deadline, one log line, errors; an onion around all RPCs.

import type { EventEmitter } from 'node:events'
import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { logger, withRequestId } from '@coracle/base/log'
import { abortable } from '@coracle/base/signals'
import { beginStage, inStage, type Stage } from '@coracle/base/stages'
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
import { answerBeforeMs, cutShort, subjectOf } from './call-stage.ts'
import { recordCall, recordCallStart } from './call-statistics.ts'
import { Encoded } from './encoded.ts'
import { toGrpc, unimplemented } from './errors.ts'
import { summarise } from './summary.ts'

export interface CallContext {
  /** Aborts when the caller cancels, leaves, or its deadline passes. */
  readonly signal: AbortSignal
  readonly apiVersion: 'v1' | 'v1alpha2'
  /** The call itself, among what is under way. */
  readonly stage: Stage
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
const frequent =
  /^(List|Stream|Status$|Version$|PodSandboxStatus|ContainerStatus|ImageStatus|ImageFsInfo|ExecSync|Explain$|.*Stats)/

let serial = 0

/** What a timer of the platform takes; a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

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

interface Running extends Disposable {
  readonly signal: AbortSignal
  readonly stage: Stage
}

/** From here on the call is under way: known to those who ask, and cut short in time for an answer that its caller still hears. */
function begin(method: DescMethod, call: AnyCall): Running {
  const [traceparent] = call.metadata.get('traceparent')
  recordCallStart(method.name)
  const stage = beginStage([method.name, ''], {
    isCall: true,
    subject: subjectOf(call.request),
    owner: `${method.name} (request r${++serial})`,
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
  })
  const controller = new AbortController()
  const deadline = call.getDeadline()
  const at = deadline instanceof Date ? deadline.getTime() : deadline
  const timeMs = at - Date.now()
  const onCancelled = () => controller.abort(cutShort(stage, at <= Date.now() + 5 ? timeMs : undefined))
  const timer = Number.isFinite(timeMs)
    ? setTimeout(() => controller.abort(cutShort(stage, timeMs)), Math.min(timeMs - answerBeforeMs(timeMs), longestTimerMs))
    : undefined
  // It may have left while its request was still being read.
  if (call.cancelled) onCancelled()
  else (call as EventEmitter).once('cancelled', onCancelled)
  return { signal: controller.signal, stage, [Symbol.dispose]: () => clearTimeout(timer) }
}

function unaryCall(
  method: DescMethod,
  handler: AnyHandler,
  apiVersion: CallContext['apiVersion'],
): handleUnaryCall<Message, object> {
  return (call, callback) => {
    const running = begin(method, call)
    const { signal, stage } = running
    const work = async () => handler(call.request, { signal, apiVersion, stage })
    withRequestId(`r${serial}`, async () => {
      using _running = running
      try {
        // Work that does not hear of the end of its caller's time goes on without it.
        const response = (await abortable(inStage(stage, work), signal)) as object
        callback(null, response)
        finished(method, call.request, stage)
      } catch (err) {
        const failure = toGrpc(err, signal)
        callback(failure)
        finished(method, call.request, stage, failure)
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
    const running = begin(method, call)
    const { signal, stage } = running
    const stream = async () => {
      // An unimplemented method rejects instead of iterating.
      const responses = (await handler(call.request, { signal, apiVersion, stage })) as AsyncIterable<object>
      for await (const response of responses) {
        signal.throwIfAborted()
        if (!call.write(response)) await drained(call, signal)
      }
      // What follows its caller's signal ends with it: that is not the end of what there was to tell.
      signal.throwIfAborted()
      call.end()
    }
    withRequestId(`r${serial}`, async () => {
      using _running = running
      try {
        await inStage(stage, stream)
        finished(method, call.request, stage)
      } catch (err) {
        const failure = toGrpc(err, signal)
        call.emit('error', failure)
        finished(method, call.request, stage, failure)
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

function finished(method: DescMethod, request: Message, stage: Stage, failure?: { code: status; details: string }): void {
  // A stream of events ends when its reader leaves.
  const isLeft = failure?.code === status.CANCELLED && method.methodKind === 'server_streaming'
  stage.end(isLeft ? undefined : failure?.details)
  const ms = performance.now() - stage.startedMs
  recordCall(method.name, status[failure?.code ?? status.OK], ms / 1000)
  const fields = {
    rpc: method.name,
    ms: Math.round(ms * 100) / 100,
    code: status[failure?.code ?? status.OK],
    ...summarise(request),
  }
  if (failure !== undefined && !isLeft && failure.code !== status.UNIMPLEMENTED && failure.code !== status.NOT_FOUND)
    log.warn('call', { ...fields, error: failure.details })
  else if (frequent.test(method.name)) log.debug('call', fields)
  else log.info('call', fields)
}
