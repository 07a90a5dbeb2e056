// The opening handshake of RFC 6455 section 4. No extensions: permessage-deflate is never agreed to.
import { createHash } from 'node:crypto'

const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key. */
export const acceptKey = (key: string): string =>
  createHash('sha1')
    .update(key + ACCEPT_GUID)
    .digest('base64')

/** Sixteen bytes in base64. */
export const isKey = (key: string | undefined): key is string => key !== undefined && /^[A-Za-z0-9+/]{22}==$/.test(key)
