import { CONTENT, HANDSHAKE_HEADER, MAX_PLAINTEXT, RECORD_HEADER } from './tls-records.ts';

/**
 * What a server's first words are. `hello`: the handshake is under way, no
 * further plain ClientHello is taken. `retry`: a HelloRetryRequest, after which
 * the client says its hello, name included, once more. `other`: no TLS 1.x
 * server hello, such as a fatal alert.
 */
export type ServerReading = 'more' | 'hello' | 'retry' | 'other';

/** Bytes within which it must be clear. */
export const MAX_FLIGHT = 4096;

const SERVER_HELLO = 2;
const WARNING = 1;
/** Message type and length, then version, then the random (RFC 8446 4.1.3). */
const RANDOM_AT = HANDSHAKE_HEADER + 2;
const RANDOM_END = RANDOM_AT + 32;
/** SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3). */
export const RETRY_RANDOM = Buffer.from(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
);

/** Reads the beginning of what a server says, however it is cut. Total. */
export function readServerHello(bytes: Buffer): ServerReading {
  let head = Buffer.alloc(0);
  let at = 0;
  while (at < bytes.length) {
    const type = bytes[at];
    const isAlert = type === CONTENT.ALERT && head.length === 0;
    if (type !== CONTENT.HANDSHAKE && !isAlert) return 'other';
    if (bytes.length < at + RECORD_HEADER) break;
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at + 1] !== 3 || length === 0 || length > MAX_PLAINTEXT) return 'other';
    const start = at + RECORD_HEADER;
    const content = bytes.subarray(start, start + length);
    // Servers of old warn that they do not know the name, and go on.
    if (isAlert && content[0] !== undefined && content[0] !== WARNING) return 'other';
    if (!isAlert) head = Buffer.concat([head, content.subarray(0, RANDOM_END - head.length)]);
    if (head[0] !== undefined && head[0] !== SERVER_HELLO) return 'other';
    if (head.length === RANDOM_END) {
      return head.subarray(RANDOM_AT).equals(RETRY_RANDOM) ? 'retry' : 'hello';
    }
    at = start + length;
  }
  return bytes.length >= MAX_FLIGHT ? 'other' : 'more';
}
