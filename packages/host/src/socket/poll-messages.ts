// What the main thread and the polling thread say to each other.

export type PollCommand =
  | { readonly kind: 'watch'; readonly id: number; readonly fd: number }
  /** The fd is closed by the polling thread, since it may be waiting on it. */
  | { readonly kind: 'close'; readonly id: number }
  | { readonly kind: 'stop' }

export type PollReport =
  | { readonly kind: 'packets'; readonly id: number; readonly packets: readonly Uint8Array[] }
  /** The peer has closed, or the socket has failed with this errno. */
  | { readonly kind: 'end'; readonly id: number; readonly errno: number }

export interface PollThreadData {
  readonly wakeFd: number
  readonly commands: import('node:worker_threads').MessagePort
}
