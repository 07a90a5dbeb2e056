// A small gRPC client for CRI sockets. It exists for start-up time: loading the full gRPC library costs a
// command line half of its 100 ms, and a client of one unix socket needs neither name resolution nor load balancing.
// Wire format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2'
import { ImageService, RuntimeService } from './gen/runtime_pb.js'
import { GrpcConnection } from './grpc-call.ts'
import { create, fromBinary, toBinary } from './protobuf-core.ts'

export type CallOptions = {
  /** Milliseconds until the call fails with `deadline_exceeded`; the server is told (grpc-timeout). 0 = none, the default is the client's. */
  readonly timeoutMs?: number | undefined
  /** Resets the stream when it aborts; the call fails with `canceled` (or the code of the signal's reason). */
  readonly signal?: AbortSignal | undefined
  /** Sent along as headers: `traceparent`, for one. Names in lower case. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

export type ConnectOptions = {
  /** Which name the services are called by; `v1alpha2` is wire-compatible with `v1`. */
  readonly apiVersion?: 'v1' | 'v1alpha2' | undefined
  /** Default deadline of unary calls in milliseconds; none when absent. Streaming calls have none unless asked. */
  readonly timeoutMs?: number | undefined
}

type CallOf<M> = M extends { methodKind: 'unary'; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
  : M extends { methodKind: 'server_streaming'; input: infer I extends DescMessage; output: infer O extends DescMessage }
    ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
    : never

/** One method per RPC of the service, camelCase: unary ones return a promise, server streams an async iterable. */
export type ServiceClient<T extends GenServiceMethods> = { readonly [K in keyof T]: CallOf<T[K]> }

type MethodsOf<S> = S extends GenService<infer T> ? T : never

export interface CriClient extends AsyncDisposable {
  readonly socketPath: string
  readonly runtime: ServiceClient<MethodsOf<typeof RuntimeService>>
  readonly image: ServiceClient<MethodsOf<typeof ImageService>>
  /** The methods of any other service on the same socket, called by its own name. */
  service<T extends GenServiceMethods>(descriptor: GenService<T>): ServiceClient<T>
  /** Ends the connection; calls in flight fail with `canceled`. Idempotent. */
  close(): Promise<void>
}

/**
 * A client of the CRI server at `socketPath` (a path, or a `unix://` URL). Nothing is dialled before the first call, and a
 * lost connection is dialled anew by the next one. While no call is in flight the client does not keep the process alive.
 *
 * Every failure is a CodedError: the server's with its code and message, `unavailable` when nothing listens at the socket,
 * `permission_denied` when it may not be opened, `resource_exhausted` for a reply above 80 MiB.
 */
export function connect(socketPath: string, options: ConnectOptions = {}): CriClient {
  const connection = new GrpcConnection(socketPath.replace(/^unix:(\/\/)?/, ''))
  const apiVersion = options.apiVersion ?? 'v1'
  const service = <T extends GenServiceMethods>(descriptor: GenService<T>): ServiceClient<T> =>
    serviceClient(
      { connection, timeoutMs: options.timeoutMs },
      descriptor,
      descriptor.typeName.replace(/^runtime\.v1\./, `runtime.${apiVersion}.`),
    )
  const close = () => connection.close()
  return {
    socketPath: connection.socketPath,
    runtime: service(RuntimeService),
    image: service(ImageService),
    service,
    close,
    [Symbol.asyncDispose]: close,
  }
}

type Caller = { readonly connection: GrpcConnection; readonly timeoutMs: number | undefined }

function serviceClient<T extends GenServiceMethods>(
  caller: Caller,
  descriptor: GenService<T>,
  typeName: string,
): ServiceClient<T> {
  const client: Record<string, unknown> = {}
  for (const method of descriptor.methods) {
    const path = `/${typeName}/${method.name}`
    if (method.methodKind === 'unary') client[method.localName] = unaryCall(caller, method, path)
    else if (method.methodKind === 'server_streaming') client[method.localName] = streamingCall(caller, method, path)
  }
  // Built from the same descriptor that the type is derived from.
  return client as ServiceClient<T>
}

function unaryCall({ connection, timeoutMs }: Caller, method: DescMethod, path: string) {
  return async (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
    const bytes = toBinary(method.input, create(method.input, request))
    const reply = await connection.unary(path, bytes, { timeoutMs, ...options })
    return fromBinary(method.output, reply)
  }
}

function streamingCall({ connection }: Caller, method: DescMethod, path: string) {
  return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
    const bytes = toBinary(method.input, create(method.input, request))
    const replies = connection.stream(path, bytes, options)
    return (async function* () {
      for await (const reply of replies) yield fromBinary(method.output, reply)
    })()
  }
}
