// The preset dictionary of SPDY/3 header compression (SPDY Protocol draft 3.1, section 2.6.10.1), put together from its words.

const prefixed =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length content-location ' +
  'content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range ' +
  'if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer ' +
  'retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status'

const statusCodes =
  '100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 416 417 502 504 505'

const phrases =
  '203 Non-Authoritative Information|204 No Content|301 Moved Permanently|400 Bad Request|401 Unauthorized|403 Forbidden|' +
  '404 Not Found|500 Internal Server Error|501 Not Implemented|503 Service Unavailable|' +
  'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT|' +
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,|' +
  'public|private|max-age=|gzip,deflate,sdch|charset=utf-8|charset=iso-8859-1,utf-,*,enq=0.'

function withLength(word: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(word.length)
  return Buffer.concat([length, Buffer.from(word, 'latin1')])
}

const joined = (text: string, separator: string): Buffer => Buffer.from(text.split(separator).join(''), 'latin1')

/** 1423 bytes. */
export const headerDictionary: Buffer = Buffer.concat([
  ...prefixed.split(' ').map(withLength),
  ...['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'].map(withLength),
  joined(statusCodes, ' '),
  joined(phrases, '|'),
])

/** Adler-32 (RFC 1950 section 8.2): names the dictionary in the zlib header. */
export function adler32(data: Uint8Array): number {
  let low = 1
  let high = 0
  for (const byte of data) {
    low = (low + byte) % 65521
    high = (high + low) % 65521
  }
  return ((high << 16) | low) >>> 0
}

export const headerDictionaryId = adler32(headerDictionary)
