import { listOf, parseFields, readLines, valuesOf } from './http-fields.ts';
import type { Framing } from './http-head.ts';

/** How a response's body ends: as a request's, or with the connection. */
export type ResponseFraming = Framing | { kind: 'close' };

export interface ResponseHead {
  status: number;
  body: ResponseFraming;
  length: number;
}

export type ResponseReading =
  { kind: 'more' } | { kind: 'head'; head: ResponseHead } | { kind: 'bad' };

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: .*)?$/;

/**
 * Reads the head of an HTTP/1 response: only to know where it ends, and a 101.
 * Total. `bad` is what cannot be followed; it may still be passed on, but
 * nothing the guest says after it.
 * @param method of the request that it answers
 */
export function readResponseHead(bytes: Buffer, method: string): ResponseReading {
  const reading = readLines(bytes);
  if (reading.kind === 'more') return reading;
  if (reading.kind === 'bad') return BAD;
  const [statusLine = '', ...lines] = reading.lines;
  const match = STATUS_LINE.exec(statusLine);
  const fields = parseFields(lines);
  if (match === null || typeof fields === 'string') return BAD;
  const status = Number(match[2]);
  const { length } = reading;
  // RFC 9112 6.3, rules 1 and 2.
  const isBodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  if (isBodiless) return { kind: 'head', head: { status, body: { kind: 'none' }, length } };
  const body = framingOf(listOf(fields, 'transfer-encoding'), valuesOf(fields, 'content-length'));
  return { kind: 'head', head: { status, body, length } };
}

/** When two readings are possible, the one in which nothing comes after. */
function framingOf(codings: string[], lengths: string[]): ResponseFraming {
  if (codings.length > 0) {
    return codings.join() === 'chunked' && lengths.length === 0 ? { kind: 'chunked' } : CLOSE;
  }
  const length = lengths[0];
  if (length === undefined || !/^[0-9]{1,15}$/.test(length)) return CLOSE;
  if (lengths.some((other) => other !== length)) return CLOSE;
  return Number(length) === 0 ? { kind: 'none' } : { kind: 'length', bytes: Number(length) };
}

const BAD: ResponseReading = { kind: 'bad' };
const CLOSE: ResponseFraming = { kind: 'close' };
