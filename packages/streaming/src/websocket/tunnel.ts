import type { Wire } from '../wire.ts'
import { closeCode, type WebSocketConnection } from './connection.ts'

/** A wire through the binary messages of a WebSocket connection; where messages begin and end means nothing. */
export function tunnelWire(connection: WebSocketConnection): Wire {
  return {
    get backlogBytes() {
      return connection.backlogBytes
    },
    start(events) {
      connection.start({
        data: (piece) => {
          if (piece.length > 0) events.data(piece)
        },
        drain: () => events.drain(),
        closed: (reason) => events.closed(reason),
      })
    },
    write: (parts) => connection.send('binary', parts),
    pause: () => connection.blockInput(true),
    resume: () => connection.blockInput(false),
    end: () => connection.close(closeCode.normal),
    destroy: () => connection.destroy(),
  }
}
