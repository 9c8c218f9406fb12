/**
 * DNS over TCP puts two bytes of length before each message (RFC 1035 4.2.2),
 * and TCP may cut the stream anywhere.
 */

/** The message with its length in front, in one piece (RFC 7766 section 8). */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}

/** Collects chunks of a stream and gives back whole messages. */
export class FrameReader {
  private readonly limit: number;
  private held: Buffer = Buffer.alloc(0);

  /** @param limit longest message, bytes */
  constructor(limit: number) {
    this.limit = limit;
  }

  push(chunk: Buffer): void {
    this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
  }

  /** The next whole message; undefined: not all here yet; null: longer than the limit, give up. */
  next(): Buffer | undefined | null {
    if (this.held.length < 2) return undefined;
    const length = this.held.readUInt16BE(0);
    if (length > this.limit) return null;
    if (this.held.length < 2 + length) return undefined;
    const message = this.held.subarray(2, 2 + length);
    this.held = this.held.subarray(2 + length);
    return message;
  }
}
