import { MAX_HEAD, parseFields, readLines } from './http-fields.ts';
import type { ResponseFraming } from './http-response.ts';

/** At most 13 hexadecimal digits: exact in a number; no extension (RFC 9112 7.1.1), which nobody needs. */
const SIZE_LINE = /^([0-9a-fA-F]{1,13})\r\n/;
const LONGEST_SIZE_LINE = 15;
const CRLF = 0x0d0a;

/**
 * Finds the end of a message's body as it passes by (RFC 9112 6 and 7). Holds
 * nothing: what it does not take is to be shown again with more behind it.
 */
export class BodyReader {
  /** The body's last byte has been taken. */
  isDone: boolean;
  #part: 'data' | 'size' | 'data-end' | 'trailers';
  #left: number;
  readonly #isChunked: boolean;

  constructor(framing: ResponseFraming) {
    this.isDone = framing.kind === 'none';
    this.#isChunked = framing.kind === 'chunked';
    this.#part = this.#isChunked ? 'size' : 'data';
    this.#left = framing.kind === 'length' ? framing.bytes : Infinity;
  }

  /** @returns how many of `bytes`, from the first on, belong to the body; null when it is malformed */
  take(bytes: Buffer): number | null {
    let at = 0;
    while (!this.isDone && at < bytes.length) {
      const taken = this.#step(at === 0 ? bytes : bytes.subarray(at));
      if (taken === null) return null;
      if (taken === 0) break;
      at += taken;
    }
    return at;
  }

  #step(bytes: Buffer): number | null {
    switch (this.#part) {
      case 'data':
        return this.#data(bytes);
      case 'size':
        return this.#size(bytes);
      case 'data-end':
        if (bytes.length < 2) return bytes[0] === CRLF >> 8 ? 0 : null;
        if (bytes.readUInt16BE(0) !== CRLF) return null;
        this.#part = 'size';
        return 2;
      case 'trailers':
        return this.#trailers(bytes);
    }
  }

  #data(bytes: Buffer): number {
    const taken = Math.min(bytes.length, this.#left);
    this.#left -= taken;
    if (this.#left === 0) {
      if (this.#isChunked) this.#part = 'data-end';
      else this.isDone = true;
    }
    return taken;
  }

  #size(bytes: Buffer): number | null {
    const text = bytes.toString('latin1', 0, LONGEST_SIZE_LINE);
    const match = SIZE_LINE.exec(text);
    if (match === null) {
      const mayBecomeOne = /^[0-9a-fA-F]{0,13}\r?$/.test(text);
      return mayBecomeOne && text !== '\r' ? 0 : null;
    }
    this.#left = parseInt(match[1] ?? '', 16);
    this.#part = this.#left === 0 ? 'trailers' : 'data';
    return match[0].length;
  }

  #trailers(bytes: Buffer): number | null {
    const reading = readLines(bytes.subarray(0, MAX_HEAD), true);
    if (reading.kind === 'more') return 0;
    if (reading.kind === 'bad' || typeof parseFields(reading.lines) === 'string') return null;
    this.isDone = true;
    return reading.length;
  }
}
