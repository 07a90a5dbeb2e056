// The clients' door: connect to the URLs of Exec, Attach and PortForward replies, ours or another runtime's.
export type { ReportedEnd } from '../exit-status.ts'
export type { StdioSelection, TerminalSize } from '../target.ts'
export type {
  ForwardedConnection,
  PortForwardConnection,
  PortForwardConnectOptions,
  PortForwardTransport,
} from './port-forward.ts'
export { connectPortForward } from './port-forward.ts'
export type { CommandConnection, CommandConnectOptions, Transport } from './remote-command.ts'
export { connectAttach, connectExec } from './remote-command.ts'
export type { ConnectOptions } from './upgrade.ts'
