// The door of the streaming room: URLs for exec, attach and port-forward, and the server behind them.
export type { Streaming, StreamingOptions } from './streaming.ts'
export { createStreaming } from './streaming.ts'
export type {
  ClientStreams,
  StdioSelection,
  StreamAttachRequest,
  StreamExecRequest,
  StreamPortForwardRequest,
  StreamTarget,
  TerminalSize,
} from './target.ts'
export { readCertificate, type TlsFiles, watchCertificate } from './tls.ts'
