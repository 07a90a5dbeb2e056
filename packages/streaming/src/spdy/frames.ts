// The frames of SPDY/3.1 (draft section 2.2 and 2.6) as bytes.

export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const

export const FLAG_FIN = 1

export const rstStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
  flowControl: 7,
} as const
export const goAwayStatus = { ok: 0, protocolError: 1, internalError: 2 } as const

export const SETTING_INITIAL_WINDOW = 7
/** Of every stream and of the session, until a SETTINGS or WINDOW_UPDATE frame changes it. */
export const DEFAULT_WINDOW_BYTES = 64 * 1024
export const MAX_WINDOW_BYTES = 0x7fffffff

function control(type: number, flags: number, bodyBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(8 + bodyBytes)
  frame.writeUInt16BE(0x8003, 0)
  frame.writeUInt16BE(type, 2)
  frame.writeUInt32BE(((flags << 24) | bodyBytes) >>> 0, 4)
  return frame
}

function twoWords(type: number, first: number, second: number): Buffer {
  const frame = control(type, 0, 8)
  frame.writeUInt32BE(first, 8)
  frame.writeUInt32BE(second, 12)
  return frame
}

export function synStream(streamId: number, headerBlock: Buffer, fin: boolean): Buffer[] {
  const frame = control(frameType.synStream, fin ? FLAG_FIN : 0, 10)
  frame.writeUInt32BE(((fin ? FLAG_FIN << 24 : 0) | (10 + headerBlock.length)) >>> 0, 4)
  frame.writeUInt32BE(streamId, 8)
  // Associated stream, priority and slot: none, highest, none.
  frame.fill(0, 12, 18)
  return [frame, headerBlock]
}

export function synReply(streamId: number, headerBlock: Buffer): Buffer[] {
  const frame = control(frameType.synReply, 0, 4)
  frame.writeUInt32BE(4 + headerBlock.length, 4)
  frame.writeUInt32BE(streamId, 8)
  return [frame, headerBlock]
}

export const rstStream = (streamId: number, status: number): Buffer => twoWords(frameType.rstStream, streamId, status)
export const goAway = (lastStreamId: number, status: number): Buffer => twoWords(frameType.goAway, lastStreamId, status)
export const windowUpdate = (streamId: number, delta: number): Buffer => twoWords(frameType.windowUpdate, streamId, delta)

export function ping(id: number): Buffer {
  const frame = control(frameType.ping, 0, 4)
  frame.writeUInt32BE(id, 8)
  return frame
}

export function settings(initialWindowBytes: number): Buffer {
  const frame = control(frameType.settings, 0, 12)
  frame.writeUInt32BE(1, 8)
  frame.writeUInt32BE(SETTING_INITIAL_WINDOW, 12)
  frame.writeUInt32BE(initialWindowBytes, 16)
  return frame
}

/** The header of a DATA frame; `lengthBytes` of payload follow. */
export function dataHeader(streamId: number, lengthBytes: number, fin: boolean): Buffer {
  const frame = Buffer.allocUnsafe(8)
  frame.writeUInt32BE(streamId, 0)
  frame.writeUInt32BE(((fin ? FLAG_FIN << 24 : 0) | lengthBytes) >>> 0, 4)
  return frame
}
